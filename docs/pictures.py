"""Makes the pictures of the documentation that show a page: `python docs/pictures.py`.

Renders the money section of a report from made-up figures and has a headless Chromium take its picture; without one on the
path it says so and ends with 1. The figures are worked out by the package, from a table and records below.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from airflow_distill.stages.evaluation.records import Scorecard
from airflow_distill.stages.evaluation.report import ReportData, render_report
from airflow_distill.stages.money.exposure import Billing, Exposure
from airflow_distill.stages.money.prices import Price, PriceTable
from airflow_distill.stages.money.records import Tokens, Usage
from airflow_distill.stages.money.savings import CallMoments, Host, forecast, payback
from airflow_distill.stages.money.statement import statement
from airflow_distill.stages.money.usage import CANDIDATE, EVALUATION, JOB, JUDGE, RELEASE, Metered

PICTURE = Path(__file__).parent / "assets/money.png"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
TEACHER, STUDENT, JUDGE_MODEL = (
    "amazon.nova-pro-v1:0",
    "amazon.nova-micro-v1:0",
    "meta.llama3-3-70b-instruct-v1:0",
)
PRICES = {
    ("inference-input", TEACHER): "0.0008",
    ("inference-cache-read", TEACHER): "0.0002",
    ("inference-output", TEACHER): "0.0032",
    ("inference-input", STUDENT): "0.000035",
    ("inference-output", STUDENT): "0.00014",
    ("inference-input", JUDGE_MODEL): "0.00072",
    ("inference-output", JUDGE_MODEL): "0.00072",
    ("deployment-input", STUDENT): "0.000035",
    ("deployment-output", STUDENT): "0.00014",
    ("training", STUDENT): "0.001",
}


def table() -> PriceTable:
    """Return the prices of the picture."""
    tokens = [
        Price(item, model, "1000 tokens", Decimal(usd), "made up", "2026-11-01", "stated")
        for (item, model), usd in PRICES.items()
    ]
    storage = Price("model-storage", "*", "model-month", Decimal("1.95"), "made up", "2026-11-01", "stated")
    return PriceTable((*tokens, storage))


def money() -> dict[str, Any]:
    """Return statement, exposure and savings of a made-up run."""
    prices = table()
    records = [
        Metered(
            JOB,
            "arn:job",
            model=TEACHER,
            kind="inference",
            calls=6_200,
            tokens=Tokens(2_480_000, 186_000),
            more=(Usage(JOB, "training", STUDENT, 5_332_000),),
            how="derived",
        ),
        Metered(
            CANDIDATE,
            "arn:host",
            more=(Usage(CANDIDATE, "provisioned-throughput", STUDENT, 1.4, Decimal(15)),),
        ),
        Metered(EVALUATION, "a", model=STUDENT, kind="inference", calls=900, tokens=Tokens(360_000, 31_000)),
        Metered(
            JUDGE, "b", model=JUDGE_MODEL, kind="inference", calls=3_600, tokens=Tokens(2_900_000, 160_000)
        ),
    ]
    estimate = {
        JOB: {"usd": 9.1, "most_usd": 22.4},
        CANDIDATE: {"usd": 45.0, "most_usd": 90.0},
        EVALUATION: {"usd": 0.02, "most_usd": 0.1},
        JUDGE: {"usd": 2.6, "most_usd": 6.2},
        RELEASE: {"usd": 0.0, "most_usd": 0.05},
    }
    told = statement(
        prices,
        records,
        estimate=estimate,
        held={"job": Decimal("7.91"), "release@run": Decimal("0.05")},
        settled=("job",),
    )
    exposure = Exposure(
        NOW,
        (
            Billing(
                "provisioned-throughput",
                "support-tickets-live",
                "arn:a",
                Decimal(360),
                NOW + timedelta(days=30),
                committed=True,
            ),
            Billing("custom-model", "support-tickets-m4f2", "arn:b", Decimal("0.0641")),
        ),
    )
    calls = CallMoments.of(
        Tokens(60 + number % 90, 24 + number % 17, 320 + number % 140) for number in range(900)
    )
    a_day = [161_000.0, 172_500.0, 166_400.0, 181_000.0]
    found = forecast(prices, calls, a_day, teacher=TEACHER, student=STUDENT, host=Host())
    spent = float(told.actual_usd or 0)
    return {
        "statement": told.to_json(),
        "exposure": exposure.to_json(),
        "savings": {
            "savings": [each.to_json() for each in found],
            "payback": payback(spent, found[0], 412.0).to_json(),
        },
    }


def section() -> str:
    """Return the report's page with the section on money only."""
    card = Scorecard(
        workload="support_tickets",
        dataset_id="d",
        heldout_sha256="",
        models={},
        n=0,
        metrics=(),
        comparisons=(),
        references={},
        teacher_source="absent",
        alpha=0.05,
        min_items=100,
    )
    page = render_report(ReportData(card, **money()))
    head, body = page.split("<body>", 1)
    (found,) = re.findall(r"<section>\s*<h2>Money</h2>.*?</section>", body, flags=re.DOTALL)
    return f"{head}<body><main>{found}</main></body></html>"


def main() -> int:
    """Take the picture."""
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        print(f"pictures: none of {', '.join(BROWSERS)} is on the path", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        html = Path(folder) / "money.html"
        html.write_text(section(), encoding="utf-8")
        command = [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--force-device-scale-factor=1.5",
            "--window-size=1060,1000",
            f"--user-data-dir={folder}/profile",
            f"--screenshot={PICTURE}",
            html.as_uri(),
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    print(PICTURE)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

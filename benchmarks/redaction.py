"""How many secrets redaction finds, by kind and by dress, and how many ordinary lines it takes for secrets.

Plants made-up secrets in the sentences that people and programs write: those that the patterns were made with
(tests/stages/dataset/secrets_planted.py), and a second set of other vendors, files and languages that was made afterwards
(secrets_elsewhere.py). Beside them 2,000 technical lines that hold no secret, and lines that others wrote: of the packages
that are installed here. A secret counts as found when no more than half of it is left in a row. Beside ours it asks
detect-secrets and presidio-analyzer where they are installed, and says where they are not:

    python benchmarks/redaction.py [--rounds 3]

Installed elsewhere, they are found by `PYTHONPATH=<venv>/lib/python3.11/site-packages`. The table of ours is written into
docs/guides/dataset.md by docs/pages.py.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from airflow_distill.stages.dataset.known_secrets import find_known  # noqa: E402
from airflow_distill.stages.dataset.records import Example, Turn  # noqa: E402
from airflow_distill.stages.dataset.redact import redact  # noqa: E402
from tests.stages.dataset.secrets_elsewhere import plants_elsewhere  # noqa: E402
from tests.stages.dataset.secrets_planted import DRESSES, Plant, leftover, ordinary_lines, plants  # noqa: E402

Hide = Callable[[str], str]
"""Returns a text without its secrets."""


def ours(text: str) -> str:
    """Redact as the dataset stage does."""
    return redact(Example((Turn("user", text),)))[0].turns[0].text


def detect_secrets() -> Hide | None:
    """Return detect-secrets with its default plugins, line by line; None when it is not installed."""
    if importlib.util.find_spec("detect_secrets") is None:
        return None
    from detect_secrets.core.scan import scan_line
    from detect_secrets.settings import default_settings

    def hide(text: str) -> str:
        with default_settings():
            for line in text.split("\n"):
                for found in scan_line(line):
                    text = text.replace(found.secret_value or "\0", "[SECRET]")
        return text

    return hide


def presidio() -> Hide | None:
    """Return presidio-analyzer with its patterns and no language model; None when it is not installed."""
    if importlib.util.find_spec("presidio_analyzer") is None:
        return None
    from presidio_analyzer import RecognizerRegistry
    from presidio_analyzer.nlp_engine import NlpArtifacts

    registry = RecognizerRegistry()
    registry.load_predefined_recognizers()
    recognizers = [each for each in registry.recognizers if hasattr(each, "patterns")]
    nothing = NlpArtifacts([], None, [], [], None, "en")

    def hide(text: str) -> str:
        for each in recognizers:
            for found in sorted(each.analyze(text, each.supported_entities, nothing), key=lambda f: -f.start):
                text = text[: found.start] + f"[{found.entity_type}]" + text[found.end :]
        return text

    return hide


def recall(hide: Hide, planted: Iterable[Plant]) -> tuple[Counter[str], Counter[str]]:
    """Return how many secrets of each kind were planted, and how many were found."""
    asked: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for plant in planted:
        asked[plant.kind] += 1
        found[plant.kind] += leftover(plant.secret, hide(plant.sentence)) <= 0.5
    return asked, found


def false_alarms(hide: Hide, lines: Iterable[str]) -> int:
    """Return how many ordinary lines were changed."""
    return sum(hide(line) != line for line in lines)


def table(rounds: int = 3) -> str:
    """Return recall by kind and false alarms as a table for the guide."""
    asked, found = recall(ours, plants(rounds))
    later = recall(ours, plants_elsewhere(rounds))
    asked, found = asked + later[0], found + later[1]
    lines = ordinary_lines()
    alarms = sum(bool(list(find_known(line))) for line in lines)
    rows = [f"| {kind} | {found[kind]} | {asked[kind]} |" for kind in asked]
    total = f"| all {len(asked)} kinds | {found.total()} | {asked.total()} |"
    wrong = f"| ordinary technical lines taken for secrets | {alarms} | {len(lines):,} |"
    return "\n".join(["| Planted | found | of |", "|---|--:|--:|", *rows, total, wrong])


PACKAGE_SUFFIXES = (
    ".py", ".pyi", ".js", ".html", ".css", ".yaml", ".yml", ".json", ".toml", ".cfg", ".ini", ".md", ".rst", ".txt", ".sql",
    ".c", ".h", ".cpp", ".pyx", ".sh", ".jinja2", ".csv", ".proto",
)  # fmt: skip


def package_lines(of_each: int = 200, seed: int = 5) -> list[str]:
    """Return lines of the packages installed here, of each kind of file so many; lines with an address are left out."""
    rng = random.Random(seed)
    root = Path(msgspec.__file__).parents[1]
    out: list[str] = []
    for suffix in PACKAGE_SUFFIXES:
        files = sorted(path for path in root.rglob(f"*{suffix}") if path.is_file())
        rng.shuffle(files)
        found: list[str] = []
        for path in files[:150]:
            text = path.read_text("utf-8", "ignore") if path.stat().st_size < 3_000_000 else ""
            wanted = [line for line in text.split("\n") if 8 < len(line) < 600 and "@" not in line]
            found += rng.sample(wanted, min(len(wanted), 8))
        out += found[:of_each]
    return out


def by_dress(planted: list[Plant]) -> Counter[str]:
    """Return how many secrets are found in each dress."""
    out: Counter[str] = Counter()
    for plant in planted:
        for name, dress in DRESSES.items():
            hidden = ours(dress(plant.sentence))
            shown = dress(plant.secret) if name.startswith("with ") else plant.secret
            out[name] += leftover(shown, hidden) <= 0.5
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what redaction finds.")
    parser.add_argument("--rounds", type=int, default=3, help="how often every sentence is planted (3)")
    rounds = parser.parse_args().rounds
    planted = plants(rounds)
    elsewhere = plants_elsewhere(rounds)
    lines, others = ordinary_lines(), package_lines()
    results = {}
    for name, hide in (("ours", ours), ("detect-secrets", detect_secrets()), ("presidio", presidio())):
        if hide is None:
            print(f"{name} is not installed: pip install {name}{'-analyzer' * (name == 'presidio')}")
            continue
        began = time.process_time()
        asked, found = (
            one + two for one, two in zip(recall(hide, planted), recall(hide, elsewhere), strict=True)
        )
        alarms = false_alarms(hide, lines), false_alarms(hide, others)
        results[name] = (asked, found, alarms, time.process_time() - began)
    print(f"{'kind':34}", *(f"{name:>16}" for name in results))
    for kind in next(iter(results.values()))[0]:
        print(
            f"{kind:34}",
            *(f"{found[kind]:>10} of {asked[kind]:>2}" for asked, found, _, _ in results.values()),
        )
    second = {plant.kind for plant in elsewhere}
    for title, kinds in (("all of the first set", None), ("all of the second set", second)):
        sums = [
            tuple(sum(n for kind, n in c.items() if (kind in second) == (kinds is not None)) for c in (f, a))
            for a, f, _, _ in results.values()
        ]
        print(f"{title:34}", *(f"{found:>9} of {asked:>3}" for found, asked in sums))
    asked, found, _, _ = results["ours"]
    worst = min(asked, key=lambda kind: found[kind] / asked[kind])
    print(f"our worst kind: {worst}, {found[worst]} of {asked[worst]}")
    for number, title in enumerate((f"{len(lines):,} technical lines", f"{len(others):,} lines of packages")):
        print(f"{'false alarms in ' + title:42}", *(f"{a[number]:>12}" for _, _, a, _ in results.values()))
    print(f"{'seconds':34}", *(f"{spent:>16.1f}" for *_, spent in results.values()))
    print("ours by dress:", ", ".join(f"{name} {count}" for name, count in by_dress(planted).items()))


if __name__ == "__main__":
    main()

"""The report's money section as rows of one table: what the run cost, what runs on, what it saves and against what.

Takes statement, exposure and savings as plain data, hands on groups of rows. Nothing is called unknown without the way to
know it. No clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_distill.stages.money.statement import HOW

STAGES = {
    "job": "Distillation job",
    "candidate host": "Candidate's host",
    "batch": "Batch answers",
    "evaluation": "Answers to held-out prompts",
    "judge": "Judge",
    "shadow": "Live prompts played before the switch",
    "release": "Smoke test and bake period",
}
"""Stage -> what a person calls it."""

PRICE = "no price: airflow-distill prices update"


@dataclass(frozen=True, slots=True)
class MoneyRow:
    """One line. The three amounts are text, empty where a column says nothing of it."""

    what: str
    expected: str = ""
    now: str = ""
    still: str = ""
    until: str = ""
    sure: str = ""
    sum: bool = False


@dataclass(frozen=True, slots=True)
class MoneyGroup:
    """Lines under one heading, with the headings of the three columns of amounts."""

    title: str
    columns: tuple[str, str, str]
    until: str
    rows: tuple[MoneyRow, ...]


def money_groups(
    statement: Mapping[str, Any] | None,
    exposure: Mapping[str, Any] | None,
    savings: Mapping[str, Any] | None,
) -> list[MoneyGroup]:
    """Return the groups of the table that there is something to say about."""
    found = []
    if statement and statement.get("rows"):
        found.append(_cost(statement))
    if exposure is not None:
        found.append(_runs_on(exposure))
    if savings and savings.get("savings"):
        found.append(_saves(savings))
    return found


def _cost(statement: Mapping[str, Any]) -> MoneyGroup:
    rows = [
        MoneyRow(
            STAGES.get(row["stage"], row["stage"]),
            _usd(row["estimate_usd"]),
            _usd(row["actual_usd"]) if row["how"] not in ("none", "open") else "",
            _usd(row["open_usd"]),
            f"{row['calls']:,} calls" if row["calls"] else "",
            _sure(row),
        )
        for row in statement["rows"]
    ]
    unpriced = statement.get("unpriced") or ()
    rows.append(
        MoneyRow(
            "This run",
            _usd(statement["estimate_usd"]),
            _usd(statement["actual_usd"]),
            _usd(statement["open_usd"]),
            "",
            f"{PRICE} ({', '.join(unpriced)})" if unpriced else _priced(statement),
            sum=True,
        )
    )
    return MoneyGroup("What it cost", ("Estimated", "Came to", "May still come"), "", tuple(rows))


def _priced(statement: Mapping[str, Any]) -> str:
    return " ".join(statement.get("aged") or ()) or f"prices of {statement['priced_at']}"


def _sure(row: Mapping[str, Any]) -> str:
    if row["unpriced"]:
        return f"{PRICE} ({', '.join(row['unpriced'])})"
    return HOW.get(str(row["how"]), str(row["how"]))


def _runs_on(exposure: Mapping[str, Any]) -> MoneyGroup:
    lines: Sequence[Mapping[str, Any]] = exposure.get("lines") or ()
    # what this run's own steps still hold stands in the first group
    shown = [line for line in lines if line["kind"] != "claimed step"]
    rows = [
        MoneyRow(
            str(line["kind"]).replace("-", " "),
            str(line["name"] or line["arn"]),
            _usd(line["usd_a_day"]) if line["usd_a_day"] is not None else "unknown",
            _usd(line["most_usd"]) if line["most_usd"] is not None else "",
            _until(line),
            _known(line),
        )
        for line in shown
    ]
    if not rows:
        rows = [MoneyRow("Nothing", sure="looked up in the account")]
    else:
        rows.append(
            MoneyRow(
                "Together",
                "",
                _usd(_total(line["usd_a_day"] for line in shown)),
                _usd(_total(line["most_usd"] or 0 for line in shown)),
                "",
                "looked up in the account",
                sum=True,
            )
        )
    return MoneyGroup("What runs on", ("Name", "A day", "At most"), "Until", tuple(rows))


def _until(line: Mapping[str, Any]) -> str:
    if line["usd_a_day"] == 0:
        return "bills nothing while idle" if line["kind"] == "custom-model-deployment" else ""
    if not line["ends_at"] or line["most_usd"] is None:
        return "somebody deletes it"
    word = "the term ends, " if line["committed"] else ""
    return f"{word}{str(line['ends_at'])[:10]}"


def _known(line: Mapping[str, Any]) -> str:
    return PRICE if line["usd_a_day"] is None else ""


def _saves(savings: Mapping[str, Any]) -> MoneyGroup:
    rows = []
    for each in savings["savings"]:
        known = each["usd"] is not None
        rows.append(
            MoneyRow(
                "Forecast a month" if each["forecast"] else "Realised a month",
                _usd(each["usd"]) if known else "not known yet",
                f"{_usd(each['low'])} to {_usd(each['high'])}" if each["low"] is not None else "",
                "nothing to save" if each["nothing_to_save"] else "",
                f"against {each['against']}",
                str(each["why"]),
            )
        )
    back = savings.get("payback")
    if back:
        rows.append(_payback(back))
    return MoneyGroup("What it saves", ("Saves", "Between", ""), "Against", tuple(rows))


def _payback(back: Mapping[str, Any]) -> MoneyRow:
    life = back["life_days"]
    lives = (
        f"its base model lives {life:,.0f} days more" if life is not None else "its base model has no end yet"
    )
    if back["never"]:
        return MoneyRow("Pays for itself", "never", "", "", lives, "there is nothing to save", sum=True)
    if back["days"] is None:
        return MoneyRow(
            "Pays for itself", "not known yet", "", "", lives, "needs the run's cost and the saving", sum=True
        )
    earliest, latest = (_days(back[name]) for name in ("earliest", "latest"))
    warn = "" if back["within_life"] is not False else "later than its base model ends"
    return MoneyRow(
        "Pays for itself",
        f"after {_days(back['days'])}",
        f"{earliest} to {latest}",
        warn,
        lives,
        "",
        sum=True,
    )


def _days(days: float | None) -> str:
    if days is None:
        return "never"
    return f"{days:,.0f} days" if days >= 2 else f"{days * 24:,.1f} hours"


def _total(amounts: Iterable[float | None]) -> float | None:
    known = list(amounts)
    return None if any(usd is None for usd in known) else sum(usd for usd in known if usd is not None)


def _usd(usd: float | None) -> str:
    if usd is None:
        return "unknown"
    return f"{usd:,.2f} USD" if usd == 0 or abs(usd) >= 0.01 else f"{usd:,.4f} USD"

"""The worked month of the cost page: 200,000 support tickets, from the prices that come with the package.

python docs/examples/cost_month.py      prints both tables
"""

from __future__ import annotations

from decimal import Decimal

from airflow_distill.stages.money.estimate import RunPlan, estimate
from airflow_distill.stages.money.prices import ON_DEMAND, PriceTable
from airflow_distill.stages.money.serving import DAYS_A_MONTH, Traffic, payback_days, serving

TEACHER = "meta.llama3-1-405b-instruct-v1:0"
STUDENT = "meta.llama3-3-70b-instruct-v1:0"
REGION = "us-west-2"
CALLS_A_MONTH = 200_000
INPUT_TOKENS = 600
OUTPUT_TOKENS = 80
PLAN = RunPlan(
    teacher=TEACHER,
    student=STUDENT,
    train_records=2_000,
    heldout_records=300,
    input_tokens=INPUT_TOKENS,
    output_tokens=OUTPUT_TOKENS,
    teacher_called=False,
    epochs=3,
    host_kind=ON_DEMAND,
)


def usd(amount: Decimal | None) -> str:
    return "unknown" if amount is None else f"{amount:,.2f}"


def run_table() -> str:
    """Return what one run costs, line by line, as a table."""
    made = estimate(PriceTable.load(), PLAN, REGION)
    rows = [
        f"| {line.stage} | {line.item.replace('-', ' ')} | `{line.model}` | {line.quantity:,.0f} | {usd(line.usd)} |"
        for line in made.lines
    ]
    head = "| Stage | Item | Model | Tokens (storage: months) | USD |\n|---|---|---|---:|---:|\n"
    return head + "\n".join(rows) + f"\n| **all** | | | | **{usd(made.total_usd)}** |"


def month_table() -> str:
    """Return what a month of serving costs with the teacher and with the student, and when the run has paid for itself."""
    table = PriceTable.load()
    tokens = INPUT_TOKENS + OUTPUT_TOKENS
    traffic = Traffic(float(CALLS_A_MONTH * tokens / DAYS_A_MONTH), INPUT_TOKENS / tokens)
    ways = serving(table, TEACHER, STUDENT, traffic, region=REGION)
    teacher, student = ways.monthly_usd["teacher"], ways.monthly_usd[ON_DEMAND]
    paid = payback_days(estimate(table, PLAN, REGION).total_usd, student, teacher)
    saved = None if teacher is None or student is None else teacher - student
    rows = [
        f"| teacher, by the token | {usd(teacher)} |",
        f"| student on a custom model deployment, by the token, storage included | {usd(student)} |",
        f"| saved | {usd(saved)} |",
        f"| the run has paid for itself after | {paid.tokens_per_day or 0:.1f} days |",
    ]
    return f"| A month of {CALLS_A_MONTH:,} calls | USD |\n|---|---:|\n" + "\n".join(rows)


if __name__ == "__main__":
    print(run_table(), month_table(), sep="\n\n")

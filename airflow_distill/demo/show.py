"""What a person sees of the demonstration: the tasks while they run, and the closing table.

Takes plain receipts and states; reads no clock and calls nobody, so it can be tested with text alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from airflow_distill.stages.shown import one_line

STYLES = {
    "success": "green",
    "failed": "bold red",
    "upstream_failed": "red",
    "up_for_retry": "yellow",
    "running": "cyan",
    "deferred": "magenta",
    "skipped": "dim",
}
DONE = frozenset({"success", "failed", "upstream_failed", "skipped", "removed"})


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One task as shown: its name, state, seconds and what its receipt says."""

    task_id: str
    state: str
    seconds: float | None = None
    fact: str = ""


def fact_of(receipt: Any) -> str:
    """Return one line about a receipt; empty when there is nothing worth saying."""
    if not isinstance(receipt, Mapping):
        return ""
    kind = receipt.get("kind")
    if kind == "harvest":
        return f"{receipt['lines']:,} log records read, {receipt['kept']:,} kept"
    if kind == "dataset":
        return f"{receipt['train_records']:,} to train on, {receipt['heldout_records']:,} held out"
    if kind == "job":
        return f"{receipt['job_name']}: {receipt['status']}"
    if kind == "host":
        return f"{receipt['host_kind']}: {receipt['status']}"
    if kind == "answers":
        roles = receipt.get("roles", {})
        return ", ".join(f"{role} {facts['count']:,}" for role, facts in roles.items())
    if kind == "evaluation":
        return f"{receipt['n']:,} held-out prompts scored"
    if kind == "decision":
        return str(receipt["verdict"])
    if kind == "deployment":
        return f"release {receipt['release']}: {receipt.get('outcome', '')}"
    return ""


def task_table(rows: Sequence[TaskRow], title: str) -> Table:
    """Return the table of tasks in the order of the Dag."""
    table = Table(
        title=title, title_justify="left", title_style="bold", expand=False, pad_edge=False, box=None
    )
    table.add_column("task", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("what it says", overflow="fold")
    for row in rows:
        seconds = "" if row.seconds is None else f"{row.seconds:.0f} s"
        state = Text(row.state, style=STYLES.get(row.state, "dim"))
        table.add_row(Text(one_line(row.task_id)), state, seconds, Text(one_line(row.fact)))
    return table


@dataclass
class Progress:
    """Shows the tasks: a live table on a terminal, one line a change elsewhere."""

    console: Console
    title: str
    _seen: dict[str, str] = field(default_factory=dict)
    _live: Live | None = None

    def __enter__(self) -> Progress:
        if self.console.is_terminal:
            self._live = Live(console=self.console, refresh_per_second=4, transient=False)
            self._live.__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        if self._live is not None:
            self._live.__exit__(*exc)

    def update(self, rows: Sequence[TaskRow], clock: str) -> None:
        """Show the rows; `clock` is the time since the start, as text."""
        if self._live is not None:
            self._live.update(task_table(rows, f"{self.title} · {clock}"))
            return
        for row in rows:
            if row.state != self._seen.get(row.task_id) and row.state != "waiting":
                self._seen[row.task_id] = row.state
                fact = f": {row.fact}" if row.fact and row.state in DONE else ""
                self.console.print(
                    Text(one_line(f"  {clock}  {row.task_id} {row.state}{fact}")), soft_wrap=True
                )


def counts_text(counts: Mapping[str, int]) -> str:
    """Return `1,204 other_model, 12 error` for counts by reason, the largest first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{number:,} {reason}" for reason, number in ordered if number) or "none"


def summary_table(facts: Sequence[tuple[str, str]]) -> Table:
    """Return the closing table: what, and the figure."""
    table = Table(
        box=None,
        pad_edge=False,
        show_header=False,
        title="What happened",
        title_justify="left",
        title_style="bold",
    )
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, text in facts:
        table.add_row(
            Text(one_line(name)), Text(one_line(text))
        )  # prompts and answers: text, never rich's markup
    return table

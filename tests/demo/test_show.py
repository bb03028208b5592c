"""What a person sees of the demonstration, on a terminal and in a file."""

from __future__ import annotations

import io

from rich.console import Console

from airflow_distill.demo.show import Progress, TaskRow, counts_text, fact_of


def test_every_kind_of_receipt_has_something_to_say() -> None:
    receipts = [
        {"kind": "harvest", "lines": 1200, "kept": 1000},
        {"kind": "dataset", "train_records": 900, "heldout_records": 100},
        {"kind": "job", "job_name": "job-1", "status": "Completed"},
        {"kind": "host", "host_kind": "provisioned-throughput", "status": "InService"},
        {"kind": "answers", "roles": {"student": {"count": 100}}},
        {"kind": "evaluation", "n": 100},
        {"kind": "decision", "verdict": "promote"},
        {"kind": "deployment", "release": 1, "outcome": "released"},
    ]
    assert fact_of(receipts[0]) == "1,200 log records read, 1,000 kept"
    assert all(fact_of(receipt) for receipt in receipts)
    assert fact_of(None) == fact_of({"kind": "something new"}) == ""


def test_without_a_terminal_every_change_is_one_line() -> None:
    stream = io.StringIO()
    with Progress(Console(file=stream, width=80), "a_dag") as progress:
        progress.update([TaskRow("harvest", "running"), TaskRow("curate", "waiting")], "0:10")
        progress.update([TaskRow("harvest", "running"), TaskRow("curate", "waiting")], "0:11")
        progress.update([TaskRow("harvest", "success", 2.0, "5 read"), TaskRow("curate", "running")], "0:12")
    assert stream.getvalue().splitlines() == [
        "  0:10  harvest running",
        "  0:12  harvest success: 5 read",
        "  0:12  curate running",
    ]


def test_counts_are_told_largest_first_and_zero_is_left_out() -> None:
    assert counts_text({"error": 3, "other_model": 1200, "empty": 0}) == "1,200 other_model, 3 error"
    assert counts_text({}) == "none"

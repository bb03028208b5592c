"""What strangers wrote is shown, never acted on: terminals, rich, Markdown, log lines."""

from __future__ import annotations

import ast
import io
import json
import logging
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from airflow_distill.cli import terminal
from airflow_distill.cli.main import main
from airflow_distill.demo.show import Progress, TaskRow, summary_table, task_table
from airflow_distill.operators.log_lines import LineLogger
from airflow_distill.stages.shown import markdown, markdown_code, one_line

ESC = "\x1b]0;owned\x07\x1b[2J\x1b[31mHACKED\x1b[0m\x1b]52;c;ZXZpbA==\x07\x9b2J\u202eevil\r\nfits; 1,000,000.00 USD"
MARKUP = ["How do I close [/b] in BBCode?", "[link=http://evil.example]x[/link]", "[red]x", ":smile:", ESC]
ACTS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff]")
"""What a terminal may act on, line ends and tabs aside."""


def record(**changes: Any) -> dict[str, Any]:
    return {
        "schemaType": "ModelInvocationLog",
        "timestamp": "2026-11-20T10:00:00Z",
        "requestId": "r1",
        "operation": "Converse",
        "modelId": "amazon.nova-pro-v1:0",
        "requestMetadata": {},
        "input": {
            "inputBodyJson": {"messages": [{"role": "user", "content": [{"text": "hi"}]}]},
            "inputTokenCount": 5,
        },
        "output": {
            "outputBodyJson": {
                "output": {"message": {"role": "assistant", "content": [{"text": "yo"}]}},
                "stopReason": "end_turn",
            },
            "outputTokenCount": 1,
        },
    } | changes


# --- the one place ------------------------------------------------------------------------------------------


@settings(max_examples=500)
@given(text=st.text(max_size=80))
def test_a_line_is_one_line_and_acts_on_nothing(text: str) -> None:
    shown = one_line(text)
    assert not ACTS.search(shown)
    assert "\n" not in shown
    assert one_line(shown) == shown


@pytest.mark.parametrize(
    "text", ["ünïcödé", "日本語", "ไทย", "👩‍👩‍👧", "می‌خواهم", "a\u00a0b", "tab is not text"]
)
def test_ordinary_writing_is_shown_as_it_is(text: str) -> None:
    assert one_line(text) == text


def test_a_long_text_is_cut() -> None:
    assert one_line("x" * 50, 10) == "x" * 9 + "…"


@settings(max_examples=300)
@given(
    text=st.text(max_size=60)
    | st.sampled_from(
        ["[a](http://b)", "![i](http://t/p.png)", "<img src=x>", "# h", "a|b", "www.x.org", "https://x"]
    )
)
def test_markdown_shows_the_characters_and_nothing_else(text: str) -> None:
    markdown_it = pytest.importorskip("markdown_it")
    parser = markdown_it.MarkdownIt("commonmark", {"linkify": True, "html": True}).enable("table")
    tokens = parser.parse(f"x {markdown(text)} x")
    kinds = {child.type for token in tokens for child in (token.children or ())}
    assert kinds <= {"text", "text_special"}
    code = parser.parse(f"x {markdown_code(text)} x")
    assert {child.type for token in code for child in (token.children or ())} <= {"text", "code_inline"}


@pytest.mark.parametrize("text", ["[x](http://e)", "![x](e)", "<b>", "a`b", "*x*", "a|b", "# h", "http://e"])
def test_markup_is_escaped(text: str) -> None:
    assert markdown(text) != text
    assert markdown(text).replace("\\", "") == text


# --- commands -----------------------------------------------------------------------------------------------


def test_commands_print_in_one_place_only() -> None:
    """A `print` elsewhere would show what strangers wrote as it is."""
    found = []
    for path in sorted(Path(terminal.__file__).parent.glob("*.py")):
        if path.name == "terminal.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "print",
                "sys.stdout.write",
                "sys.stderr.write",
                "Console",
            ):
                found.append(f"{path.name}:{node.lineno}")
    assert found == []


@pytest.mark.parametrize(
    "changes",
    [
        {"requestMetadata": {"app": f"x{ESC}"}},
        {"requestMetadata": {f"app{ESC}": "x"}},
        {"modelId": f"amazon.nova{ESC}-pro"},
    ],
)
def test_scout_shows_hostile_traffic(
    tmp_path: Path, changes: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(record(**changes)) + "\n")
    main(["scout", "--logs", str(tmp_path), "--all"])
    said = capsys.readouterr()
    assert not ACTS.search(said.out + said.err)
    assert not any(line.startswith("fits;") for line in said.out.splitlines())
    main(["scout", "--logs", str(tmp_path), "--all", "--json"])
    assert json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("on_terminal", [False, True])
def test_dataset_check_shows_hostile_file_names(
    tmp_path: Path, on_terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "x\x1b]52;c;ZXZpbA==\x07[bold red]y[bogus=1][@click=x][!z].jsonl"
    (tmp_path / name).write_text("nope\n")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: on_terminal)
    assert main(["dataset", "check", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert "\x1b]52" not in said.out + said.err
    assert "\x07" not in said.out + said.err


@pytest.mark.parametrize(
    "words",
    [
        ["workload", "lint", f"no{ESC}where.yaml"],
        ["evaluate", f"no{ESC}where", "--policy", f"p{ESC}"],
        ["dataset", "check", f"no{ESC}where"],
        ["workload", "plan", f"no{ESC}where.yaml"],
    ],
)
def test_errors_show_hostile_names(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) in (1, 2)
    said = capsys.readouterr()
    assert said.out + said.err
    assert not ACTS.search(said.out + said.err)


def test_a_terminal_that_speaks_ascii_gets_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    terminal.say("日本 \ud800")
    stream.flush()
    assert stream.buffer.getvalue() == b"\\u65e5\\u672c \\ud800\n"  # type: ignore[attr-defined]


# --- the demonstration, logs, the approval page -------------------------------------------------------------


@pytest.mark.parametrize("text", MARKUP)
def test_the_demonstration_shows_prompts_and_answers_as_text(text: str) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=400)
    console.print(summary_table([("asked the student", text)]))
    console.print(task_table([TaskRow(text, "success", 1.0, text)], "tasks"))
    plain = io.StringIO()
    with Progress(Console(file=plain, width=400), "tasks") as progress:
        progress.update([TaskRow(text, "success", 1.0, text)], "0:01")
    assert one_line(text) in out.getvalue()
    assert one_line(text) in plain.getvalue()
    for bad in ("\x1b]", "\x07", "\x9b", "\u202e", "\x1b[31m", "\x1b]8;"):
        assert bad not in out.getvalue()


def test_what_is_logged_stands_on_one_line(caplog: pytest.LogCaptureFixture) -> None:
    log = LineLogger(logging.getLogger("distill.test"))
    with caplog.at_level(logging.INFO):
        log.info("%s has %d, %.1f and %s", ESC, 3, 0.5, {"k": ESC})
        log.warning(f"name {ESC}")
    for message in caplog.messages:
        assert not ACTS.search(message)
        assert "\n" not in message
    assert "has 3, 0.5 and" in caplog.messages[0]
    assert log.name == "distill.test"


def test_tasks_log_through_it() -> None:
    from airflow_distill.operators.dataset import CheckDatasetOperator
    from airflow_distill.sensors.jobs import BedrockDistillationCompletedSensor

    assert isinstance(CheckDatasetOperator(task_id="t", dataset={}).log, LineLogger)
    assert isinstance(BedrockDistillationCompletedSensor(task_id="s", job={}).log, LineLogger)


def test_the_approval_page_shows_hostile_names() -> None:
    from airflow_distill.operators.decision import evidence

    hostile = f"k=[click](http://evil.example)|<img src=x>{ESC}`x`"
    check = SimpleNamespace(
        metric="exact", code="quality", slice=hostile, against=hostile, n=3, estimate=0.1, bound=0.1, limit=0.0,
        outcome=hostile,
    )  # fmt: skip
    record = SimpleNamespace(
        workload=hostile, decision_id=hostile, dataset_id=hostile, scorecard_sha256=hostile, model_arn=hostile,
        incumbent=hostile, costs=None, verdict=SimpleNamespace(checks=[check], verdict=hostile, n=3),
    )  # fmt: skip
    page = evidence(record, [hostile])  # type: ignore[arg-type]
    assert not ACTS.search(page)
    row = next(line for line in page.splitlines() if line.startswith("| exact"))
    assert len(re.findall(r"(?<!\\)\|", row)) == 8
    assert "](http" not in re.sub(r"`+[^`]*.*?`+", "", page)


# --- the report ---------------------------------------------------------------------------------------------


def test_the_report_holds_no_markup_of_others() -> None:
    from html.parser import HTMLParser

    from airflow_distill.stages.dataset.records import Example, Turn
    from airflow_distill.stages.evaluation.compare import score_answers
    from airflow_distill.stages.evaluation.records import Answer
    from airflow_distill.stages.evaluation.report import ReportData, render_report
    from airflow_distill.stages.evaluation.scorers.registry import make_scorers

    evil = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}{% raw %}</style></title>"
    evil += "<a href='javascript:x'>"
    examples = [
        Example((Turn("user", f"p{i} {evil}"),), answer="a", metadata=((f"k{evil}", f"v{i % 2}{evil}"),))
        for i in range(80)
    ]
    answers = [
        Answer(
            example_id=e.id, role=role, model=evil, text="b" if role == "student" else "a", stop_reason=evil
        )
        for e in examples
        for role in ("student", "untuned", "incumbent")
    ]
    card = score_answers(
        examples,
        answers,
        make_scorers(["exact"]),
        workload=evil,
        dataset_id=evil,
        heldout_sha256=evil,
        teacher=evil,
    )
    decision = {
        "outcome": evil,
        "verdict": {"verdict": evil, "reasons": [{"code": evil, "text": evil}], "checks": []},
    }
    texts = {r.example_id: {"prompt": evil, "student": evil, "teacher": evil} for r in card.regressions}
    page = render_report(ReportData(card, decision, texts=texts, run=evil, made_at=evil))

    class Tags(HTMLParser):
        bad: list[Any] = []  # noqa: RUF012

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag in ("script", "img", "iframe", "object", "a", "link", "base", "form"):
                self.bad.append(tag)
            self.bad += [
                k for k, v in attrs if k.startswith("on") or (v or "").lower().startswith("javascript:")
            ]

    tags = Tags()
    tags.feed(page)
    assert tags.bad == []
    assert "{{7*7}}" in page
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://evil.example/schema"},
        {"$ref": "file:///etc/passwd"},
        {"properties": {"a": {"items": [{"$ref": "//evil.example/x"}]}}},
        {"$dynamicRef": "https://evil.example/x#y"},
        {"$ref": "other.json#/a"},
    ],
)
def test_a_schema_that_leads_out_of_itself_is_refused(schema: dict[str, Any]) -> None:
    from airflow_distill.errors import ConfigurationError
    from airflow_distill.stages.evaluation.scorers.json_schema import JsonSchema

    with pytest.raises(ConfigurationError, match="leads out of the schema"):
        JsonSchema(schema)


def test_a_schema_may_refer_to_itself() -> None:
    from airflow_distill.stages.dataset.records import Example, Turn
    from airflow_distill.stages.evaluation.scorers.json_schema import JsonSchema

    scorer = JsonSchema({"$defs": {"n": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/n"}}})
    example = Example((Turn("user", "q"),), answer=None)
    assert scorer.score('{"a": 1}', example) == 1
    assert scorer.score('{"a": "x"}', example) == 0


def test_no_table_is_written_in_which_a_cell_could_be_a_formula() -> None:
    """A cell that begins with = + - or @ runs in a spreadsheet; whoever writes tables as CSV must escape there, once."""
    package = Path(__file__).parents[2] / "airflow_distill"
    writing = ("csv.writer", "DictWriter", "to_csv", "text/csv", "tab-separated")
    files = [*package.rglob("*.py"), *package.rglob("*.js"), *package.rglob("*.j2"), *package.rglob("*.html")]
    found = [file.name for file in files if any(word in file.read_text() for word in writing)]
    assert found == []

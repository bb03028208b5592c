"""Strings that a stranger may get into a log, a file or the bucket, and a status that has one in every text."""

from __future__ import annotations

from dataclasses import replace

from airflow_distill.stages.status.records import (
    Deciding,
    Health,
    LastVerdict,
    PastVerdict,
    Question,
    Status,
    Warned,
)
from tests.airflow_pages.goods import DAG, full_status

HOSTILE = [
    "<script>globalThis.pwned=1</script>",
    "<img src=x onerror=pwned=1>",
    "<svg onload=pwned=1>",
    "javascript:pwned=1",
    '"><script>pwned=1</script>',
    "'-pwned-'",
    "</title><script>pwned=1</script>",
    "{{constructor.constructor('x')()}}",
    "${pwned}",
    "`${pwned}`",
    "<a href=javascript:pwned=1>x</a>",
    "<iframe srcdoc='<script>pwned=1</script>'>",
    "<style>*{display:none}</style>",
    "<base href=//evil.example>",
    "<meta http-equiv=refresh content=0;url=//evil.example>",
    "<form action=//evil.example><input>",
    "<link rel=stylesheet href=//evil.example>",
    "<math><mtext></mtext></math>",
    "<!--",
    "]]>",
    "<![CDATA[",
    "&lt;script&gt;",
    "&#60;script&#62;",
    "\\u003cscript\\u003e",
    "\x00",
    "\x1b[31mred",
    "\x1b]0;title\x07",
    "\r\nSet-Cookie: a=b",
    "\n\n",
    "\t",
    "\u202eevil",
    "\u2066x\u2069",
    "\u200b" * 20,
    "\ufeff",
    "\ud7ff",
    "e\u0301" * 50,
    "Z" + "\u0300" * 80,
    "\U0001f4a9" * 20,
    "\u06dd\u070f",
    "x" * 240,
    "W" * 240,
    "a b " * 60,
    "-" * 200,
    "0" * 200,
    "NaN",
    "Infinity",
    "null",
    "undefined",
    "__proto__",
    "constructor",
    "toString",
    "hasOwnProperty",
    "1e309",
    "-0",
    "'; DROP TABLE dag; --",
    "=cmd|' /C calc'!A0",
    "%s%n%x",
    "../../../etc/passwd",
    "[x](javascript:alert(1))",
    "| a | b |",
]


def hostile_status(text: str, name: str = "hostile") -> Status:
    """Return a status with a hostile text in every text field that may hold one."""
    status = full_status(name, DAG)
    step = replace(status.step, task_id=text, run_id=text, error=text)  # type: ignore[type-var]
    return replace(
        status,
        teacher=text,
        student=text,
        step=step,
        failure=step,
        live=replace(status.live, model_arn=text, since=text, host_kind=text, host_arn=text),  # type: ignore[type-var]
        question=Question(DAG, text, text, text, until=text),
        verdict=LastVerdict(
            text,
            text,
            text,
            text,
            5,
            7,
            (text,),
            Deciding(text, text, text, text, 5, -0.1, -0.2, 0.1, -0.3),
            text,
            text,
        ),
        health=Health(text, text, text),
        warnings=(Warned(text, text, text, text, text),),
        report_uri=text,
        verdicts=(PastVerdict(text, text, text, text, -0.1, -0.2, 0.1, -0.3, 5),),
        money=replace(
            status.money, saved_usd=1.0, saved_against=text, billed_at=text, spent={text[:60]: 1.0}
        ),
    )

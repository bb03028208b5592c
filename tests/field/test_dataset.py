"""What people ask and models answer becomes the dataset it should: cases from other projects' reports, built by command."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.cli.main import main

TEACHER = "amazon.nova-pro-v1:0"
NOVA = "amazon.nova-micro-v1:0:128k"
ENDINGS = ("ando", "iver", "oltam", "une", "erick")


def record(number: int, prompt: str, answer: str, **more: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"messages": [{"role": "user", "content": [{"text": prompt}]}]}
    if more.get("system") is not None:
        body["system"] = [{"text": more["system"]}]
    message = {"role": "assistant", "content": [{"text": answer}]}
    return {
        "schemaType": "ModelInvocationLog",
        "schemaVersion": "1.0",
        "timestamp": f"2026-11-20T10:{number // 60 % 60:02d}:{number % 60:02d}Z",
        "requestId": f"r{number}",
        "operation": "Converse",
        "modelId": TEACHER,
        "input": {"inputBodyJson": body, "inputTokenCount": 12},
        "output": {
            "outputBodyJson": {
                "output": {"message": message},
                "stopReason": more.get("stop", "end_turn"),
                "usage": {"inputTokens": 12, "outputTokens": 2},
            },
            "outputTokenCount": 2,
        },
    }


class Traffic:
    """Logs of an application, a dataset built of them, and what came out."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capsys = capsys
        self.records: list[dict[str, Any]] = []

    def add(self, prompt: str, answer: str = "fine", **more: Any) -> None:
        self.records.append(record(len(self.records), prompt, answer, **more))

    def fill(self, count: int = 130) -> None:
        """Ask questions that are far from each other."""
        rng = random.Random(5)
        words = ["".join(rng.choices("bcdfglmnprst", k=2)) + rng.choice(ENDINGS) for _ in range(900)]
        for n in range(count):
            self.add(f"{' '.join(rng.choices(words, k=9))}?", f"label {n % 4}")

    def build(self, *more: str) -> dict[str, Any]:
        logs = self.folder / "logs"
        logs.mkdir(exist_ok=True)
        (logs / "a.jsonl").write_text("".join(json.dumps(r) + "\n" for r in self.records))
        out = self.folder / f"out{len(list(self.folder.iterdir()))}"
        command = [
            "dataset",
            "build",
            "--logs",
            str(logs),
            "--model",
            TEACHER,
            "--student",
            NOVA,
            "--out",
            str(out),
        ]
        self.status = main([*command, "--with-answers", "--json", *more])
        self.card = (out / "card.md").read_text()
        self.taught = [json.loads(line) for line in (out / "train.jsonl").read_text().splitlines()]
        self.judged = [json.loads(line) for line in (out / "heldout.jsonl").read_text().splitlines()]
        outcome: dict[str, Any] = json.loads(self.capsys.readouterr().out.splitlines()[-1])
        return outcome

    @property
    def prompts(self) -> list[str]:
        taught = [r["messages"][0]["content"][0]["text"] for r in self.taught]
        return taught + [e["turns"][0][1] for e in self.judged]

    @property
    def answers(self) -> list[str]:
        return [r["messages"][-1]["content"][0]["text"] for r in self.taught] + [
            e["answer"] for e in self.judged
        ]


@pytest.fixture
def traffic(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Traffic:
    return Traffic(tmp_path, capsys)


LANGUAGES = ("C", "C++", "C#", "F", "F#")
TASKS = ("sort a list", "open a file", "read a line", "call a function", "make a thread")


def test_questions_about_languages_that_differ_by_a_sign_all_stay(traffic: Traffic) -> None:
    traffic.fill()
    asked = [f"How do I {task} in {language}?" for task in TASKS for language in LANGUAGES]
    asked += ["Is -5 valid?", "Is 5 valid?", "Is a > b?", "Is a < b?", "What is 5 + 3?", "What is 5 - 3?"]
    for text in asked:
        traffic.add(text)
    out = traffic.build()
    assert "exact_duplicate" not in out["dropped"]
    assert "near_duplicate" not in out["dropped"]
    assert {text.split(" in ")[-1] for text in traffic.prompts if " in " in text} == {
        f"{x}?" for x in LANGUAGES
    }


def test_words_that_differ_by_a_vowel_sign_are_asked_apart(traffic: Traffic) -> None:
    traffic.fill()
    for word in (
        "मल",
        "मेल",
        "मोल",
        "मूल",
        "मील",
        "कल",
        "काल",
        "कुल",
        "कूल",
        "केला",
        "किला",
        "কল",
        "কাল",
        "কলা",
        "কুল",
    ):
        traffic.add(f"{word}?")
    assert traffic.build()["dropped"] == {}


POLICY = (
    "We can't process the refund until the item arrives; that takes 3 days.",
    "I can't share the tracking number here; it is in your shipping mail.",
    "We cannot refund after 30 days, but you can exchange the item.",
)
REFUSED = (
    "Lo siento, no puedo ayudarte con eso.",
    "对不起，我不能回答这个问题。",
    "Es tut mir leid, aber ich kann dabei nicht helfen.",
    "Sorry, the model cannot answer this question.",
)


def test_an_answer_that_says_no_by_a_rule_is_taught_and_a_refusal_is_not(traffic: Traffic) -> None:
    traffic.fill()
    for n, text in enumerate(POLICY + REFUSED):
        traffic.add(f"an unlike question of kind {'abcdefgh'[n] * 9}", text)
    assert traffic.build()["dropped"] == {"refusal": len(REFUSED)}
    assert set(POLICY) <= set(traffic.answers)
    assert not set(REFUSED) & set(traffic.answers)
    assert "refusal | " in traffic.card
    assert traffic.build("--keep", "refusal")["dropped"] == {}


def test_the_message_of_a_guardrail_is_no_answer(traffic: Traffic) -> None:
    traffic.fill()
    for n in range(5):
        traffic.add(
            f"blocked {'abcde'[n] * 9}", "That is outside what we talk about.", stop="guardrail_intervened"
        )
    assert traffic.build()["dropped"] == {"guardrail": 5}
    assert traffic.build("--keep", "guardrail")["dropped"] == {}


def test_records_that_cannot_be_sent_cost_themselves_alone(traffic: Traffic) -> None:
    traffic.fill(120)
    traffic.add("page one\0page two")
    traffic.add("a blank system prompt", system=" ")
    traffic.add("long " * 4000)
    out = traffic.build()
    assert traffic.status == 0
    assert out["dropped"] == {"line_too_long": 1, "unsendable": 2}
    assert out["train_records"] + out["heldout_records"] == 120


def test_reserved_words_are_told_in_build_card_and_check_and_can_be_dropped(
    traffic: Traffic, capsys: pytest.CaptureFixture[str]
) -> None:
    traffic.fill()
    for n in range(6):
        letters = [letter * 7 for letter in "abcdefghijklmnopqrstuvwxyzäöüß"[n::6]]
        traffic.add(f"Summarise: User: {' '.join(letters)} Bot: which?")
    out = traffic.build()
    assert out["counts"]["reserved_word"] >= 1
    assert out["valid"]
    assert "reserved_word" in traffic.card
    main(["dataset", "check", str(next(traffic.folder.glob("out*")) / "train.jsonl"), "--student", NOVA])
    assert "reserved_word" in capsys.readouterr().out
    dropped = traffic.build("--drop-reserved-words")
    assert dropped["dropped"] == {"reserved_word": 6}
    assert "reserved_word" not in dropped["counts"]


def test_thinking_is_taken_out_of_answers_and_counted(traffic: Traffic) -> None:
    traffic.fill()
    for n in range(4):
        traffic.add(f"unlike {'abcd'[n] * 9}", "<thinking>which team?</thinking>\n\nbilling")
    traffic.build()
    assert not any("thinking" in answer for answer in traffic.answers)
    assert traffic.answers.count("billing") == 4
    assert "Thinking was taken out of the answers of 4 records." in traffic.card
    assert traffic.build("--thinking", "drop")["dropped"] == {"thinking": 4}
    traffic.build("--thinking", "keep")
    assert sum("<thinking>" in answer for answer in traffic.answers) == 4


def test_the_card_names_copies_and_what_each_rule_dropped_by_digest(traffic: Traffic) -> None:
    traffic.fill()
    asked = "Where is the parcel that I sent to the north of the country last week with your express service"
    for text in (asked, asked + " please", asked.upper()):
        traffic.add(text)
    assert traffic.build()["dropped"] == {"exact_duplicate": 1, "near_duplicate": 1}
    assert "## Near copies, a sample" in traffic.card
    assert "## The first that each rule dropped" in traffic.card
    assert "parcel that I sent" not in traffic.card

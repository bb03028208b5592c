"""What holds on texts of real people too. Not part of the suite: it needs a folder of texts that the project does not ship.

    make test-shared TEXTS=FOLDER

`FOLDER/banking77/` holds `train.csv` and `test.csv` (columns `text,category`: PolyAI's banking questions, CC BY 4.0);
`FOLDER/uber10k/uber10K.jsonl` holds `prompt` and `completion` (a sample of AWS's distillation examples, MIT-0).
"""

from __future__ import annotations

import csv
import io
import json
import os
import random
from pathlib import Path

import pytest

from airflow_distill.demo.traffic import read_traffic
from airflow_distill.sandbox.brains import Brain
from airflow_distill.sandbox.students import Classifier, fit
from airflow_distill.stages.dataset.checks import check_stream
from airflow_distill.stages.dataset.dedupe import Sketcher, are_near_exactly, find_copies, find_template
from airflow_distill.stages.dataset.families import family_of
from airflow_distill.stages.dataset.redact import find_known


@pytest.fixture(scope="session")
def texts() -> Path:
    folder = Path(os.environ.get("DISTILL_TEXTS") or "set-DISTILL_TEXTS-to-the-folder-of-texts")
    assert folder.is_dir(), f"no folder {folder}; run `make test-shared TEXTS=FOLDER`"
    return folder


@pytest.fixture(scope="session")
def questions(texts: Path) -> list[tuple[str, str]]:
    with (texts / "banking77/train.csv").open(newline="", encoding="utf-8") as stream:
        return [(row["text"], row["category"]) for row in csv.DictReader(stream)]


@pytest.fixture(scope="session")
def passages(texts: Path) -> list[str]:
    rows = (texts / "uber10k/uber10K.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(row)["prompt"] for row in rows]


def test_questions_are_classification_and_passages_are_not(texts: Path) -> None:
    assert read_traffic(texts / "banking77/train.csv", 4000).classification
    assert not read_traffic(texts / "uber10k/uber10K.jsonl", 4000).classification


def test_passages_are_valid_prompts(passages: list[str]) -> None:
    rows = [
        json.dumps(
            {
                "schemaVersion": "bedrock-conversation-2024",
                "messages": [{"role": "user", "content": [{"text": text}]}],
            }
        )
        for text in passages
    ]
    family = family_of("amazon.nova-micro-v1:0:128k")
    report = check_stream(io.BytesIO("\n".join(rows).encode() + b"\n"), family)
    assert report.valid, report.counts


def test_ordinary_texts_hold_no_secret_but_a_printed_telephone_number(
    questions: list[tuple[str, str]], passages: list[str]
) -> None:
    found = {
        text[span.start : span.end]
        for text in [*(t for t, _ in questions), *passages]
        for span in find_known(text)
    }
    assert found <= {"(415) 612-8582"}


def test_few_questions_are_near_copies(questions: list[tuple[str, str]]) -> None:
    sketcher = Sketcher()
    copies = find_copies([sketcher.sketch(text) for text, _ in questions], 0.8)
    assert sum(copy is not None for copy in copies) < len(questions) / 25


def test_two_questions_about_one_passage_are_two_prompts(passages: list[str]) -> None:
    sketcher = Sketcher(find_template(passages))
    hashes = [sketcher.hashes(text) for text in passages]
    copies = find_copies(
        [sketcher.sketch(text) for text in passages],
        0.8,
        lambda a, b: are_near_exactly(hashes[a], hashes[b], 0.8),
    )
    assert sum(copy is not None for copy in copies) < len(passages) / 10


def accuracy(pairs: list[tuple[str, str]], held_out: list[tuple[str, str]]) -> float:
    brain: Brain = fit(pairs).brain
    assert isinstance(brain, Classifier)
    said = brain.answers([prompt for prompt, _ in held_out])
    return sum(a == b for a, (_, b) in zip(said, held_out, strict=True)) / len(held_out)


def test_a_student_learns_real_questions_and_noise_teaches_nothing(
    texts: Path, questions: list[tuple[str, str]]
) -> None:
    with (texts / "banking77/test.csv").open(newline="", encoding="utf-8") as stream:
        held_out = [(row["text"], row["category"]) for row in csv.DictReader(stream)]
    train = random.Random(1).sample(questions, 3000)
    labels = [label for _, label in train]
    random.Random(2).shuffle(labels)
    noise = [(prompt, label) for (prompt, _), label in zip(train, labels, strict=True)]
    some, most = accuracy(train[:500], held_out), accuracy(train, held_out)
    assert most >= 0.80
    assert some < most - 0.1
    assert accuracy(noise, held_out) < 0.05

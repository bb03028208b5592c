"""The demonstration's traffic: the same every time, mixed, and honest about files it cannot read."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from airflow_distill.demo.traffic import plan_calls, read_traffic, shipped_traffic
from airflow_distill.errors import ConfigurationError
from tests.texts import passages, questions


def test_shipped_traffic_is_the_same_every_time_and_has_no_prompt_twice() -> None:
    first, second = shipped_traffic(), shipped_traffic()
    assert first == second
    assert len({pair.prompt for pair in first.pairs}) == len(first.pairs) == 2400


def test_shipped_traffic_has_every_label_about_equally_often() -> None:
    counts = Counter(pair.completion for pair in shipped_traffic().pairs)
    assert len(counts) == 12
    assert max(counts.values()) < 2 * min(counts.values())


def test_the_application_mixes_workloads_repeats_prompts_and_uses_every_api() -> None:
    traffic = shipped_traffic(600)
    calls = plan_calls(traffic, "support_tickets")
    tagged = [call for call in calls if call.metadata.get("workload") == "support_tickets"]
    assert {call.api for call in calls} == {
        "Converse",
        "ConverseStream",
        "InvokeModel",
        "InvokeModelWithResponseStream",
    }
    assert len(tagged) > len({call.prompt for call in tagged})
    assert any(call.metadata.get("workload") == "rider_notes" for call in calls)
    assert any(not call.metadata for call in calls)


def test_a_csv_of_labels_is_classification_and_is_drawn_over_the_whole_file(tmp_path: Path) -> None:
    file = tmp_path / "sorted.csv"
    rows = [
        f"question {number} about {label},{label}" for label in ("a", "b", "c", "d") for number in range(100)
    ]
    file.write_text("text,category\n" + "\n".join(rows) + "\n")
    traffic = read_traffic(file, 160)
    assert traffic.classification
    assert len(traffic.pairs) == 160
    assert set(Counter(pair.completion for pair in traffic.pairs)) == {"a", "b", "c", "d"}
    assert traffic.pairs[0].system == "Answer with exactly one label and nothing else. Labels: a, b, c, d."


def test_free_text_is_not_classification(tmp_path: Path) -> None:
    file = tmp_path / "free.jsonl"
    rows = [{"prompt": f"p {n}", "completion": f"an answer of its own, number {n}"} for n in range(200)]
    file.write_text("\n".join(json.dumps(row) for row in rows))
    traffic = read_traffic(file, 500)
    assert not traffic.classification
    assert traffic.pairs[0].system is None


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.jsonl", '{"prompt": "x", "completion": "y"}\nnot json\n', "line 2"),
        ("a.jsonl", '{"prompt": "x"}\n', "line 1"),
        ("a.jsonl", "", "holds no pair"),
        ("a.csv", "question,label\nx,y\n", "columns"),
        ("a.csv", "text,category\nx,y\nz,\n", "line 3"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_its_line(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=said):
        read_traffic(file, 200)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no file .*nowhere\.csv"):
        read_traffic(tmp_path / "nowhere.csv", 200)


def test_topics_are_classification_and_passages_are_not(tmp_path: Path) -> None:
    csv_file, json_file = tmp_path / "questions.csv", tmp_path / "passages.jsonl"
    with csv_file.open("w", newline="") as stream:
        csv.writer(stream).writerows([("text", "category"), *questions(1000)])
    json_file.write_text(
        "".join(json.dumps({"prompt": text, "completion": text[-90:-40]}) + "\n" for text in passages(200))
    )
    assert read_traffic(csv_file, 4000).classification
    assert not read_traffic(json_file, 4000).classification

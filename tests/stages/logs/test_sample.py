"""The sample is the k prompts of smallest hash, whatever the order and the cut; counts always add up."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.digest import canonical_text, prompt_digest
from airflow_distill.stages.logs.fingerprint import MOST_SYSTEMS, Fingerprints
from airflow_distill.stages.logs.sample import ANSWER_RULES, VOTES, Clean, Sample

Prompt = tuple[str | None, tuple[tuple[str, str], ...]]


@dataclass
class Said:
    """A record as the sample sees it."""

    prompt: str
    answer: str
    timestamp: str
    request_id: str

    def to_bytes(self) -> bytes:
        return f"{self.prompt}|{self.answer}|{self.timestamp}|{self.request_id}".encode()


def hash_of(prompt: str) -> int:
    return Fingerprints("s").of(None, (("user", prompt),))


def offer(sample: Sample, records: list[Said]) -> Sample:
    for item in records:
        sample.offer(hash_of(item.prompt), item)
    return sample


def clean(payload: bytes) -> tuple[bytes, str]:
    """Stands for redaction: what was a capital is a small letter, so that different answers can become equal."""
    prompt, answer, *rest = payload.decode().split("|")
    return "|".join((prompt, answer.lower(), *rest)).encode(), answer.lower()


def content(sample: Sample) -> Any:
    return list(sample.iter_kept()), sample.duplicates, sample.out_of_sample


records = st.lists(
    st.builds(
        Said,
        prompt=st.sampled_from([f"p{n}" for n in range(12)]),
        answer=st.sampled_from(["a", "A", "b", "B", "c"]),
        timestamp=st.sampled_from(["2026-11-20T10:00:00Z", "2026-11-20T10:00:01Z"]),
        request_id=st.sampled_from(["", "r1", "r2", "r3"]),
    ),
    max_size=40,
)


@settings(deadline=None)
@given(
    items=records,
    limit=st.integers(1, 14),
    rule=st.sampled_from(ANSWER_RULES),
    cleaner=st.sampled_from([None, clean]),
    data=st.data(),
)
def test_neither_order_nor_cut_changes_the_sample(
    items: list[Said], limit: int, rule: str, cleaner: Clean | None, data: st.DataObject
) -> None:
    """Parts are clean when they are merged, the whole is cleaned at the end, and both come to the same."""
    whole = content(offer(Sample(limit, rule, cleaner), items))
    assert content(offer(Sample(limit, rule, cleaner), data.draw(st.permutations(items)))) == whole
    parts = [Sample(limit, rule, cleaner) for _ in range(data.draw(st.integers(1, 6)))]
    for item in items:
        offer(data.draw(st.sampled_from(parts)), [item])
    merged = Sample(limit, rule, data.draw(st.sampled_from([None, cleaner])))
    for part in data.draw(st.permutations(parts)):
        merged.out_of_sample += part.out_of_sample
        for kept in part.iter_kept():
            merged.merge(kept)
    assert content(merged) == whole
    if cleaner is not None:
        kept, duplicates, out_of_sample = content(
            offer(Sample(limit, rule), [cleaned(item) for item in items])
        )
        assert (duplicates, out_of_sample) == whole[1:]
        if rule != "most_frequent":
            assert kept == whole[0]


def cleaned(item: Said) -> Said:
    return Said(item.prompt, item.answer.lower(), item.timestamp, item.request_id)


@settings(deadline=None)
@given(items=records, limit=st.integers(1, 14))
def test_it_holds_the_smallest_and_every_record_is_counted_once(items: list[Said], limit: int) -> None:
    sample = offer(Sample(limit), items)
    assert len(items) == len(sample) + sample.duplicates + sample.out_of_sample
    asked = Counter(hash_of(item.prompt) for item in items)
    assert [(kept.prompt, kept.count) for kept in sample.iter_kept()] == sorted(asked.items())[:limit]


FIRST = Said("p", "a", "2026-11-20T10:00:00Z", "r1")
SECOND = Said("p", "b", "2026-11-20T11:00:00Z", "r2")
THIRD = Said("p", "b", "2026-11-20T12:00:00Z", "r3")
LAST = Said("p", "c", "2026-11-20T13:00:00Z", "r4")


@pytest.mark.parametrize(("rule", "chosen"), [("latest", LAST), ("first", FIRST), ("most_frequent", THIRD)])
def test_the_rule_chooses_among_several_answers(rule: str, chosen: Said) -> None:
    sample = offer(Sample(5, rule), [SECOND, FIRST, LAST, THIRD])
    assert [kept.payload for kept in sample.iter_kept()] == [chosen.to_bytes()]


def test_a_record_delivered_twice_votes_once_and_counts_as_a_duplicate() -> None:
    sample = offer(Sample(5, "most_frequent"), [LAST, LAST, LAST, SECOND, THIRD])
    assert [kept.payload for kept in sample.iter_kept()] == [THIRD.to_bytes()]
    assert sample.duplicates == 4


def test_votes_of_a_prompt_are_bounded() -> None:
    many = [Said("p", f"a{n % 3}", "2026-11-20T10:00:00Z", f"r{n}") for n in range(1000)]
    (kept,) = offer(Sample(5, "most_frequent"), many).iter_kept()
    assert (kept.count, len(kept.votes)) == (1000, VOTES)


def test_the_sample_is_uniform_over_prompts_not_over_requests() -> None:
    """Half of 2,000 prompts are asked fifty times; they must not be in the sample more often than the others."""
    items = [
        Said(f"q{n}", "a", "2026-11-20T10:00:00Z", f"r{n}-{again}")
        for n in range(2000)
        for again in range(50 if n % 2 else 1)
    ]
    kept = [kept.payload for kept in offer(Sample(400), items).iter_kept()]
    often = sum(int(payload.split(b"|")[0][1:]) % 2 for payload in kept)
    assert 140 <= often <= 260


@pytest.mark.parametrize("rule", ANSWER_RULES)
def test_bytes_that_are_no_longer_wanted_do_not_pile_up(rule: str) -> None:
    """Two hundred megabytes pass through a sample of three prompts; what stays is right and the spool stays small."""
    items = [
        Said(f"p{n % 5}", "x" * 1_000_000 + str(n), f"2026-11-20T10:{n // 60:02d}:{n % 60:02d}Z", f"r{n}")
        for n in range(200)
    ]
    sample = offer(Sample(3, rule), items)
    kept = [kept.payload for kept in sample.iter_kept()]
    assert kept == [kept.payload for kept in offer(Sample(3, rule), items[::-1]).iter_kept()]
    assert sample.spooled_bytes < 200_000_000
    assert not sample.wastes_space


def test_a_wrong_limit_or_rule_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        Sample(0)
    with pytest.raises(ConfigurationError):
        Sample(5, "best")


texts = st.text(max_size=60) | st.sampled_from(["", "a", " a", "a\r\n", "e\u0301", "é", "1 a", "user 1 a"])
prompts = st.tuples(
    st.none() | texts,
    st.lists(st.tuples(st.sampled_from(["user", "assistant"]), texts), max_size=3).map(tuple),
)


@settings(max_examples=300, deadline=None)
@given(one=prompts, other=prompts)
def test_prompts_have_one_hash_when_they_have_one_digest(one: Prompt, other: Prompt) -> None:
    fingerprints = Fingerprints("salt")
    hashes = [fingerprints.of(*one), fingerprints.of(*other)]
    assert hashes == [fingerprints.of(*one), Fingerprints("salt").of(*other)]
    assert (hashes[0] == hashes[1]) == (prompt_digest(*one) == prompt_digest(*other))
    assert Fingerprints("pepper").of(*one) != hashes[0] < 2**128


def test_many_system_texts_do_not_fill_the_memory() -> None:
    fingerprints = Fingerprints("salt")
    turns = (("user", "a"),)
    for number in range(MOST_SYSTEMS * 2):
        assert fingerprints.of(f"s{number}", turns) == Fingerprints("salt").of(f"s{number}", turns)
    assert len(fingerprints._begun) == MOST_SYSTEMS


@pytest.mark.parametrize(
    "text",
    [
        "e\u0301",
        "é",
        "\r\n a \r b \n",
        "\x7f\x80\x85\xa0",
        '\x00\x1f\b\f\t"\\/',
        "\ud800",
        "Å",
        "가",
        "ﬁ",
        " x ",
    ],
)
def test_odd_text_is_known_by_its_canonical_form(text: str) -> None:
    for system in (None, text):
        turns = (("user", text), ("assistant", f"a{text}b"))
        folded = tuple((role, canonical_text(said)) for role, said in turns)
        assert Fingerprints("s").of(system, turns) == Fingerprints("s").of(
            canonical_text(system or ""), folded
        )

"""Curation: the steps in their order, the arithmetic, and the same outcome for the same input."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.dataset.balance import stratum_by, surplus
from airflow_distill.stages.dataset.curate import Curated, CurateSettings, Ledger, curate
from airflow_distill.stages.dataset.fingerprints import LedgerFile
from airflow_distill.stages.dataset.records import Example, Turn
from airflow_distill.stages.logs.records import Interaction

NOVA = "amazon.nova-micro-v1:0:128k"
VOCABULARY = [f"word{n}" for n in range(2000)]


def interaction(text: str, answer: str = "fine", **more: object) -> Interaction:
    turns = (Turn("user", text),)
    return Interaction(  # type: ignore[arg-type]
        **{
            "request_id": "r", "timestamp": "2026-11-20T00:00:00Z", "operation": "Converse", "model_id": "m", "model": "m",
            "turns": turns, "answer": answer, **more,
        }
    )  # fmt: skip


def traffic(count: int, seed: int = 1) -> list[Interaction]:
    """Prompts of twelve random words: far from each other."""
    rng = random.Random(seed)
    return [interaction(" ".join(rng.choices(VOCABULARY, k=12)), f"label {n % 5}") for n in range(count)]


def run(rows: list[Interaction], **overrides: object) -> Curated:
    golden = overrides.pop("golden", ())
    return curate(rows, CurateSettings(salt="s", **overrides), student=NOVA, golden=golden)  # type: ignore[arg-type]


short = st.lists(st.sampled_from(["card", "Card!", "lost", "pay", "how", "  "]), max_size=4).map(" ".join)
conversations = st.lists(short, min_size=1, max_size=4)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            conversations,
            st.sampled_from(["ok", "", "I cannot help with that."]),
            st.sampled_from(["end_turn", "length"]),
        ),
        max_size=40,
    ),
    st.lists(st.tuples(short, short), max_size=6),
    st.integers(1, 30),
    st.sampled_from(["", "answer", "metadata:team"]),
)
def test_rows_in_are_train_and_held_out_and_dropped(
    rows: list[tuple[list[str], str, str]], golden: list[tuple[str, str]], limit: int, balance: str
) -> None:
    incoming = [
        interaction(
            "",
            answer,
            turns=tuple(Turn(("user", "assistant")[n % 2], t) for n, t in enumerate(texts)),
            stop_reason=stop,
        )
        for texts, answer, stop in rows
    ]
    people = [Example((Turn("user", text),), answer=answer, golden=True) for text, answer in golden]
    out = run(incoming, golden=people, limit=limit, balance_by=balance, heldout=0.3)
    assert out.kept == len(rows) + len(golden)
    assert out.kept == len(out.train) + len(out.heldout) + sum(out.dropped.values())
    assert len(out.train) + len(out.heldout) <= limit
    assert not {e.id for e in out.train} & {e.id for e in out.heldout}
    assert out.dropped == dict(Counter(row.reason.value for row in out.rows if row.reason))


def test_the_same_input_gives_the_same_outcome() -> None:
    one, other = run(traffic(500)), run(traffic(500))
    assert [row.example for row in one.rows] == [row.example for row in other.rows]
    assert [(row.reason, row.heldout) for row in one.rows] == [
        (row.reason, row.heldout) for row in other.rows
    ]


def test_redaction_comes_before_copies_are_looked_for() -> None:
    rows = [interaction(f"Please close the account of person{n}@example.com today") for n in range(5)]
    out = run([*rows, *traffic(50)])
    assert out.dropped["exact_duplicate"] == 4
    assert out.redacted == {"EMAIL": 5}


def test_redaction_can_be_turned_off() -> None:
    out = run([interaction("I am a@example.com"), *traffic(20)], redact=False)
    assert "a@example.com" in out.rows[0].example.turns[0].text
    assert out.redacted == {}


SYSTEMS = ("Summarise the text.", "Translate it into German!", "summarise the TEXT")


def test_the_same_words_under_another_system_prompt_are_another_task() -> None:
    text = "A long document about cards and payments, sent three times over"
    rows = [
        interaction(text, system=s)
        for s in ("Summarise the text.", "Translate it into German!", "summarise the  TEXT.")
    ]
    out = run([*rows, *traffic(20)])
    assert [row.reason for row in out.rows[:3]] == [None, None, "exact_duplicate"]
    assert len({row.heldout for row in out.rows[:2]}) == 1


def test_near_copies_can_be_kept() -> None:
    rows = [interaction("Where is my new bank card please"), interaction("Where is my new bank card")]
    assert run([*rows, *traffic(20)], near_duplicates=0.7).dropped["near_duplicate"] == 1
    kept = run([*rows, *traffic(20)], near_duplicates=None)
    assert "near_duplicate" not in kept.dropped


def test_near_copies_on_both_sides_cost_the_training_one() -> None:
    """Without near-duplicate removal, whatever hashes to training and is near a held-out prompt must go."""
    base = "Where is my new bank card number"
    rows = [interaction(f"{base} {n} {'please ' * (n % 3)}") for n in range(40)]
    out = run([*rows, *traffic(200)], near_duplicates=None, heldout=0.2)
    held = [e for e in out.heldout if base in e.turns[0].text]
    taught = [e for e in out.train if base in e.turns[0].text]
    assert held
    assert not taught
    assert out.dropped["contaminated"] == 40 - len(held) - out.dropped.get("exact_duplicate", 0)


def test_the_limit_keeps_the_first_in_the_harvests_order() -> None:
    rows = traffic(300)
    out = run(rows, limit=120)
    assert out.dropped == {"over_limit": 180}
    assert [row.reason for row in out.rows] == [None] * 120 + ["over_limit"] * 180


def test_balance_evens_out_training_and_leaves_held_out_alone() -> None:
    rows = [
        replace(row, answer="common" if n % 10 else f"rare {n % 4}") for n, row in enumerate(traffic(1000))
    ]
    plain, even = run(rows), run(rows, balance_by="answer", balance_ratio=2.0)
    assert even.heldout == plain.heldout
    counts = Counter(e.answer for e in even.train)
    assert counts["common"] == 2 * sorted(Counter(e.answer for e in plain.train).values())[1]
    assert even.dropped["balance"] == len(plain.train) - len(even.train)


def test_surplus_counts_from_the_median() -> None:
    assert surplus([], 2) == []
    assert surplus(["a"] * 5, 1) == []
    assert surplus(["a", "b", "a", "b", "a", "c"], 1) == [4]


def test_an_unknown_stratum_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="cannot balance"):
        stratum_by("colour")


def golden(count: int) -> list[Example]:
    return [Example(i.turns, answer="by hand", golden=True) for i in traffic(count, seed=9)]


def test_golden_examples_judge_in_every_run_and_teach_in_none() -> None:
    first = run(traffic(900), golden=golden(300))
    later = run(traffic(900, seed=5), golden=golden(300), limit=400)
    assert not any(e.golden for e in [*first.train, *later.train])
    assert [e.id for e in first.heldout if e.golden] == [e.id for e in later.heldout if e.golden]
    assert sum(e.golden for e in first.heldout) == len({e.id for e in golden(300)})


def test_golden_examples_near_to_each_other_all_judge() -> None:
    """People wrote them on purpose; that two are alike is for people to say."""
    text = "Please tell me how long a transfer of money to another bank in this country takes today"
    near = [
        Example((Turn("user", f"{text} {word}"),), answer="x", golden=True) for word in ("please", "thanks")
    ]
    assert len(run(traffic(200), golden=near, near_duplicates=0.6).heldout) >= 2
    assert "near_duplicate" not in run([], golden=near, near_duplicates=0.6).dropped


def test_a_prompt_of_the_logs_near_to_a_golden_one_is_not_taught() -> None:
    row = traffic(300)[7]
    text = row.turns[-1].text
    near = Example((*row.turns[:-1], Turn("user", f"{text} thanks")), answer="by hand", golden=True)
    out = run(traffic(300), golden=[near], near_duplicates=None)
    assert text not in [e.turns[-1].text for e in out.train]
    assert sum(e.golden for e in out.heldout) == 1


def test_what_an_earlier_student_was_taught_stays_in_the_golden_set_and_is_told() -> None:
    taught = run(traffic(300))
    file = LedgerFile("d", "train", taught.template, taught.fingerprints(taught.train))
    chosen = [replace(e, answer="by hand", golden=True) for e in taught.train[:12]]
    ledger = Ledger(train=lambda: (file,))
    settings = CurateSettings(salt="other")
    out = curate(traffic(100, seed=8), settings, student=NOVA, golden=chosen, ledger=ledger)
    assert sum(e.golden for e in out.heldout) == 12
    assert out.taught_judges == 12


def test_judges_near_to_earlier_training_stay_when_that_is_asked_for_and_are_told() -> None:
    taught = run(traffic(300))
    settings = {"salt": "other", "heldout": 0.3}
    outs = []
    for keep in ((), ("taught_before",)):
        file = LedgerFile("d", "train", taught.template, taught.fingerprints(taught.train))
        ledger = Ledger(train=lambda file=file: (file,))  # type: ignore[misc]
        outs.append(curate(traffic(300), CurateSettings(**settings, keep=keep), student=NOVA, ledger=ledger))  # type: ignore[arg-type]
    plain, kept = outs
    assert plain.dropped["taught_before"] == kept.taught_judges > 50
    assert "taught_before" not in kept.dropped
    assert len(kept.heldout) == len(plain.heldout) + kept.taught_judges


def test_golden_examples_have_their_share_of_training_and_no_more() -> None:
    out = run(traffic(900), golden=golden(300), golden_share=0.1)
    mine = sum(e.golden for e in out.train)
    assert mine == int((len(out.train) - mine) * 0.1 / 0.9)
    assert out.dropped["golden_share"] > 40
    assert 100 < sum(e.golden for e in out.heldout) < 200, "half of them judge, the same half in every run"


def test_a_golden_example_wins_over_the_log_of_the_same_prompt() -> None:
    rows = traffic(300)
    by_hand = [Example(rows[5].turns, answer="by hand", golden=True)]
    out = run(rows, golden=by_hand)
    assert [e.answer for e in [*out.train, *out.heldout] if e.turns == rows[5].turns] == ["by hand"]


def test_a_salt_never_appears_in_the_settings() -> None:
    assert "s3cret-salt" not in str(CurateSettings(salt="s3cret-salt").to_json())


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": 0},
        {"heldout": 1.0},
        {"heldout": -0.1},
        {"near_duplicates": 0.1},
        {"contamination": 2},
        {"balance_ratio": 0.5},
        {"golden_share": 1.5},
        {"balance_by": "colour"},
    ],
    ids=str,
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        CurateSettings(salt="s", **wrong)  # type: ignore[arg-type]

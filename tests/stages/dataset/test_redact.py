"""Redaction: secrets go, meaning and consistency stay, ordinary text is left alone."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.dataset.curate import example_of
from airflow_distill.stages.dataset.dressed import plain_form, views_of
from airflow_distill.stages.dataset.known_secrets import PATTERNS
from airflow_distill.stages.dataset.places import Text, beside_tokens, in_texts_with, is_prose, to_the_end
from airflow_distill.stages.dataset.records import Example, Turn
from airflow_distill.stages.dataset.redact import (
    MOST_FINDINGS,
    Redaction,
    Span,
    find_known,
    load_detector,
    redact,
)
from airflow_distill.stages.logs.records import Interaction
from tests.security import linear
from tests.stages.dataset.planted import planted
from tests.stages.dataset.secrets_elsewhere import plants_elsewhere
from tests.stages.dataset.secrets_planted import DRESSES, SENTENCES, Plant, leftover, ordinary_lines, plants
from tests.texts import other_scripts, passages, questions


def interaction(text: str, answer: str, identity: str) -> Interaction:
    return Interaction(
        "r", "2026-11-20T10:00:00Z", "Converse", "m", "m", (Turn("user", text),), answer, identity=identity
    )


def example(text: str, answer: str = "ok", **more: object) -> Example:
    return Example((Turn("user", text),), answer=answer, **more)  # type: ignore[arg-type]


ELSEWHERE = plants_elsewhere(1)


@pytest.mark.parametrize("plant", ELSEWHERE, ids=[f"{p.kind} {n}" for n, p in enumerate(ELSEWHERE)])
def test_a_secret_of_another_vendor_file_or_language_is_replaced(plant: Plant) -> None:
    assert leftover(plant.secret, redact(example(plant.sentence))[0].turns[0].text) <= 0.5


ORDINARY = """
"output_token": "Jobs[-1].JobId",
"output_token": "DistributionList.NextMarker",
"nextToken": "RW5DdDJkMWYwZjM2MzM2VHVpOHJIUXlDUXlhc2QzRGViYnc9SQ=="
def read(self, continuation_token: AwsLogsHook.ContinuationToken) -> None:
secret = base64.decodebytes(secret.encode())
"pattern": "^arn:aws(|-cn):kms:[a-zA-Z0-9-]*:[0-9]{12}:key/[a-zA-Z0-9-]{36}$",
cache key: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b
key: test-get_change_token_example-1471635120794
| key | 3f2c9a10-7f4e-4d7a-9b0e-1a2b3c4d5e6f |
the partition key tenant_2026_11_30_region_eu is hot
primary_key=Customer_Order_2026_Line_Item_0042
token budget: 1000000000000000000000
ключ к пониманию лежит в архитектуре2026 проекта
session=started in 2026 and resumed twice
class="session" sid="a"
<secret>of the old house</secret>
<input name="password" value="{{ form.password }}">
define('DB_PASSWORD', getenv('DB_PASSWORD'));
field("password", "required")
CREATE USER app IDENTIFIED BY '<password>';
psql -c "ALTER ROLE app PASSWORD '$PGPASSWORD'"
login: see page 12/b3 of the manual
RUT report 2026 is out
the CPR training starts at 10:30
rfc 7231-4 and rfc 2616
TFN channel 12 is down
DNI pool of 12 instances
Nie wieder 2026!
INN at the river, room 1204
the price is $5$ and then $6$
api-gateway, sdk-core and pat-riotic names
cio of a firm with 12345 people in 2026
fw_update_all_devices_v2 has run
re_sent_mail_2026 folder
""".strip().split("\n")


@pytest.mark.parametrize("line", ORDINARY)
def test_a_line_that_only_looks_like_one_of_those_stays(line: str) -> None:
    assert redact(example(line))[0].turns[0].text == line


@pytest.mark.parametrize(("kind", "secret", "sentence"), planted(400), ids=lambda value: str(value)[:24])
def test_a_planted_secret_is_replaced(kind: str, secret: str, sentence: str) -> None:
    out, found = redact(example(sentence))
    assert secret not in out.turns[0].text
    assert found.total() == 1, found
    assert "_1]" in out.turns[0].text


UNUSUAL = [
    (
        "AKIAABCDEFGHIJKLMNOP / a7QmYx+Zr4tUv9WbKcDeFgHiJkLmNoPqRsTuVw1x",
        "a7QmYx+Zr4tUv9WbKcDeFgHiJkLmNoPqRsTuVw1x",
    ),
    ("call (555)123-4567", "(555)123-4567"),
    ("SSN 123456789", "123456789"),
    ("the password is: Summer2024", "Summer2024"),
    ("DefaultEndpointsProtocol=https;AccountKey=abcDEF123456789==;x", "abcDEF123456789=="),
    ("amex 3782 822463 10005", "3782 822463 10005"),
    ("https://hooks.slack.com/services/T01ABCDEF/B01ABCDEF/abcdefghijklmnop123", "abcdefghijklmnop123"),
    ("-----BEGIN RSA PRIVATE KEY-----\\nMIIEabc\\nxyz0123456789", "MIIEabc"),
    ("redis://:hunter22@cache:6379/0", "hunter22"),
]


@pytest.mark.parametrize(("text", "secret"), UNUSUAL)
def test_secrets_in_unusual_dress_are_replaced(text: str, secret: str) -> None:
    assert secret not in redact(example(text))[0].turns[0].text


SNIPPETS = (
    [secret for _, secret, _ in planted(40)]
    + [
        "[EMAIL_1]",
        "[PASSWORD_12]",
        "[x_1]",
        "[PASSWORD_1",
        "EMAIL_1]",
        "api key",
        "secret access",
        "DB_PASSWORD",
        "token ",
    ]
    + [
        '="',
        "='",
        '"',
        "'",
        ": ",
        "=",
        "://u:",
        "@",
        "@example.com",
        ".",
        "-",
        "[",
        "]",
        " ",
        "\n",
        "é",
        "İ",
        "漢",
        "akia",
        "+49 ",
    ]
    + ["Bearer ", "ssn ", "12", "555-", "1.2.3.", "::", "ab:", "is "]
)


@given(st.lists(st.sampled_from(SNIPPETS), max_size=14), st.lists(st.sampled_from(SNIPPETS), max_size=6))
def test_what_was_redacted_stays_as_it_is_and_counts_nothing(asked: list[str], answered: list[str]) -> None:
    """The harvest redacts before it writes and curation redacts again, so twice must be as good as once."""
    once, _ = redact(example("".join(asked), "".join(answered), metadata=(("k", "".join(answered)),)))
    assert redact(once) == (once, {})


def test_a_number_that_stands_there_is_not_given_again() -> None:
    out, found = redact(example("[EMAIL_1] forwarded this to b@example.com", "as [EMAIL_3] said"))
    assert (out.turns[0].text, found) == ("[EMAIL_1] forwarded this to [EMAIL_4]", {"EMAIL": 1})


def test_the_interaction_and_its_example_are_redacted_alike() -> None:
    """What the harvest hides is what curation would have hidden; the caller's address goes too, and counts nothing."""
    for _, secret, sentence in planted(60):
        said = interaction(
            sentence,
            f"Is it {secret}?",
            identity="arn:aws:sts::123456789012:assumed-role/app/ann@example.com",
        )
        hidden = Redaction()(said)
        out, found = redact(example_of(said))
        assert (example_of(hidden), dict(hidden.redacted)) == (out, found)
        assert hidden.identity == f"arn:aws:sts::123456789012:assumed-role/app/[EMAIL_{found['EMAIL'] + 1}]"
        assert Redaction()(hidden) == hidden


def test_prompt_system_and_answer_speak_of_the_same_thing() -> None:
    out, found = redact(
        Example(
            (Turn("user", "I am b@example.com, not a@example.com."),),
            answer="Dear a@example.com, we wrote to b@example.com.",
            system="Staff: a@example.com",
            metadata=(("caller", "c@example.com"), ("team", "cards")),
        )
    )
    assert out.system == "Staff: [EMAIL_1]"
    assert out.turns[0].text == "I am [EMAIL_2], not [EMAIL_1]."
    assert out.answer == "Dear [EMAIL_1], we wrote to [EMAIL_2]."
    assert out.metadata == (("caller", "[EMAIL_3]"), ("team", "cards"))
    assert found == {"EMAIL": 3}


ORDINARY = [
    "Version 3.11.7 of Python came out on 2023-06-06 at 12:30:45.",
    "The order 1234567 cost $1,234.50 and arrived after 14 days.",
    "Revenue was 31,877 million in 2022 (2021: 17,455), up 83%.",
    "Write a function def key(self): return self.token",
    "What is a bearer token and how do I get one?",
    "How do I reset my password? It is not accepted.",
    "The password is wrong",
    "ISO 8601 dates look like 2026-11-23T00:00:00Z or 23/11/2026.",
    "Section 10.1.2 of the contract; see https://example.com/a/b?c=1",
    "Ratio 1:2:3, see std::vector and a::b::c",
    "Revenue by year 2020 2021 2020 and 1000 200 3000",
    "uuid 123e4567-e89b-12d3-a456-426614174000",
    "Bitte überweisen Sie 100 EUR",
    "secret sauce; access tokens: see the manual",
    "token: the smallest unit",
    "The key = value form is common",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert redact(example(text))[0].turns[0].text == text


def test_ordinary_questions_hold_nothing_to_redact() -> None:
    texts = [*(text for text, _ in questions(3000)), *passages(60), *other_scripts()]
    assert [text[span.start : span.end] for text in texts for span in find_known(text)] == []


@given(st.text(max_size=200))
def test_what_has_no_secret_is_unchanged_and_redacting_twice_is_redacting_once(text: str) -> None:
    once, found = redact(example(text))
    if not found:
        assert once == example(text)
    assert redact(once)[0] == once


WORDS = "pwd Token secret key aws bearer is : = :// :: @ ----- [A_1] ssn AKIA eyJ sk- DE89 +49 a1: ff- 10.0. 078-05- . 字"
PIECES = st.sampled_from(
    [
        *WORDS.split(),
        *("-----BEGIN PRIVATE KEY", " ", "\n", "\u3000", "\u212a", "\u0663", "\uff15", "\U0001f600"),
        *("x" * 16, "0123456789", "abcDEF0123456789/+" * 3),
    ]
)


@given(st.lists(PIECES | st.text(max_size=3), max_size=12).map("".join))
def test_looking_only_where_it_can_match_finds_what_looking_everywhere_finds(text: str) -> None:
    found = {(span.start, span.end, span.kind) for span in find_known(text)}
    plain = plain_form(text)
    for pattern in PATTERNS:
        wanted = pattern.search is not to_the_end
        if pattern.search in (beside_tokens, in_texts_with):
            wanted = any(word in Text(text).folded for word in pattern.words)
        elif pattern.words:
            # Patterns that are tried at words may match elsewhere, where no word of theirs begins.
            wanted = wanted and any(word in Text(text).folded for word in pattern.words)
        for match in pattern.pattern.finditer(plain) if wanted else ():
            if not _begins_with(pattern.words, Text(text).folded, match.start()):
                continue
            group = match.lastgroup or ""
            if pattern.accept is None or pattern.accept(match, group):
                assert (*match.span(group or 0), pattern.kind) in found


def _begins_with(words: tuple[str, ...], folded: str, at: int) -> bool:
    return not words or any(folded.startswith(word, at) for word in words)


@given(st.lists(PIECES | st.text(max_size=3), max_size=12).map("".join))
def test_a_plain_text_has_nothing_that_a_pattern_needs(text: str) -> None:
    known = Text(text)
    needed = {pattern.kind for pattern in PATTERNS if pattern.needs(known)}
    assert not (known.is_plain and needed)


def test_digits_of_every_script_are_seen() -> None:
    digits = [chr(code) for code in range(0x110000) if chr(code).isdecimal()]
    assert len(digits) > 600
    for digit in digits:
        assert Text(f"’{digit}").digits == 1, hex(ord(digit))


def test_overlapping_spans_are_hidden_whole_and_the_longer_gives_its_name() -> None:
    def greedy(text: str) -> list[Span]:
        return [Span(0, 4, "SHORT"), Span(0, 8, "LONG"), Span(6, 10, "LATE"), Span(5, 5, "EMPTY")]

    assert redact(example("abcdefghij"), (greedy,))[0].turns[0].text == "[LONG_1][LATE_1]"


def find_ticket_numbers(text: str) -> Iterator[Span]:
    """A detector as a user would write it."""
    start = text.find("TICKET-")
    if start >= 0:
        yield Span(start, start + 11, "TICKET")


def test_a_detector_is_named_by_its_import_path() -> None:
    detector = load_detector("tests.stages.dataset.test_redact:find_ticket_numbers")
    assert redact(example("see TICKET-1234 now"), (detector,))[0].turns[0].text == "see [TICKET_1] now"


def test_a_detector_that_fails_is_told_without_the_text_it_failed_on() -> None:
    def reads_numbers(text: str) -> Iterator[Span]:
        yield Span(0, int(text), "NUMBER")

    asked = example("a quokkaburger")
    with pytest.raises(ConfigurationError, match=r"a detector failed \(ValueError\)") as told:
        redact(asked, (reads_numbers,))
    shown = traceback.format_exception(told.value)
    assert "quokkaburger" not in "".join(shown)


@pytest.mark.parametrize("path", ["nowhere", "json:nothing", "no.such.module:x", ":x", "json:__name__"])
def test_a_wrong_import_path_says_so(path: str) -> None:
    with pytest.raises(ConfigurationError, match="dataset"):
        load_detector(path)


def test_no_pattern_takes_long_on_hostile_text() -> None:
    """Patterns that back off step by step would take minutes here."""
    hostile = [
        "a" * 50_000 + "@",
        "1" * 50_000,
        "1 " * 30_000,
        "(1" * 30_000,
        "password" * 8_000,
        "ab:" * 20_000,
        "-----BEGIN PRIVATE KEY-----" + "A" * 50_000,
        "eyJ" + "a." * 20_000,
        "aws" + " " * 50_000,
        "a.a." * 20_000 + "@",
    ]
    for text in hostile:
        assert redact(example(text))[0].turns[0].text is not None


def hidden(text: str) -> str:
    return redact(example(text))[0].turns[0].text


PLANTS = plants(rounds=2)
ADDRESSED = {plant.kind for plant in PLANTS}


@pytest.mark.parametrize("kind", sorted(ADDRESSED))
@pytest.mark.parametrize("dress", DRESSES)
def test_a_secret_of_every_kind_is_found_in_every_dress(kind: str, dress: str) -> None:
    left = []
    for plant in PLANTS:
        if plant.kind == kind:
            out = hidden(DRESSES[dress](plant.sentence))
            shown = [plant.secret, json.dumps(plant.secret)[1:-1]]
            shown += [DRESSES[dress](plant.secret)] if dress.startswith("with ") else []
            left += [plant.sentence for secret in shown if leftover(secret, out) > 0.5]
    assert not left


def test_ordinary_lines_are_left_alone() -> None:
    """Ids, hashes, versions, order numbers, ISBNs, times and code, and sentences in which secrets are none."""
    assert [line for line in ordinary_lines() if list(find_known(line))] == []


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_sentence_without_a_secret_keeps_its_words(sentence: str) -> None:
    assert hidden(sentence) == sentence
    assert hidden(json.dumps({"q": sentence})) == json.dumps({"q": sentence})


def test_only_the_secret_goes() -> None:
    for plant in PLANTS:
        before, _, after = plant.sentence.partition(plant.secret)
        if "AKIA" in before:
            continue  # another secret stands beside it
        out = hidden(plant.sentence)
        assert out.startswith(before[: len(before) - 9]), plant.sentence
        assert out.endswith(after[9:]), plant.sentence


ADDRESSES = {
    "我的邮箱是user0@example.cn请帮我重置密码": "我的邮箱是[EMAIL_1]请帮我重置密码",
    "メールはann@example.co.jpです。": "メールは[EMAIL_1]です。",
    "อีเมลann@example.comครับ": "อีเมล[EMAIL_1]ครับ",
    "이메일은ann@example.com입니다": "이메일은[EMAIL_1]입니다",
    "ارسل الى ann@example.com شكرا": "ارسل الى [EMAIL_1] شكرا",
    "пишите на иван@почта.рф сегодня": "пишите на [EMAIL_1] сегодня",
    "jörg.müller@beispiel.de, bitte": "[EMAIL_1], bitte",
    "see docs/ann@example.com.": "see docs/[EMAIL_1].",
    "postgres://kim:pa55word@db.example.com/x": "postgres://kim:[URL_PASSWORD_1]@db.example.com/x",
}


@pytest.mark.parametrize(("text", "wanted"), ADDRESSES.items())
def test_an_address_ends_where_the_script_changes(text: str, wanted: str) -> None:
    assert hidden(text) == wanted


JSON_TEXTS = [
    {"line": 'He wrote "password=hunter2222" under: it'},
    {"note": 'set "token: abcd1234efgh5678" for it'},
    {"event": json.dumps({"user": "kai", "password": "hunter2hunter2"})},
    {
        "event": json.dumps(
            {"deeper": json.dumps({"pin": 4821, "card": 4111111111111111, "password": "hunter2hunter2"})}
        )
    },
    {"card": 4111111111111111, "ssn": 123456789, "phone": 4155550134, "n": 5},
    {"cards": [4111111111111111, 5555555555554444]},
    {"path": "C:\\new\\table", "mail": "ann@example.com", "quote": 'say "password: Sommer2024!" now'},
    {"password": 'ab"c\\d1"e', "next": "kept"},
]


@pytest.mark.parametrize("value", JSON_TEXTS, ids=str)
def test_json_stays_json_and_so_does_json_inside_it(value: dict[str, Any]) -> None:
    out = hidden(json.dumps(value))
    assert "_1]" in out
    for secret in ("hunter2", "abcd1234", "4111", "5555555", "Sommer2024", "ann@"):
        assert secret not in out
    again = json.loads(out)
    assert set(again) == set(value)
    event = again.get("event", "{}")
    deeper = json.loads(event).get("deeper", "{}")
    assert isinstance(json.loads(deeper), dict)
    assert hidden(out) == out


def test_milliseconds_are_no_cards() -> None:
    for stamp in range(1_548_393_672_000, 1_548_393_674_000):
        text = f'{{"ts": {stamp}}}'
        assert hidden(text) == text


@given(
    st.lists(st.sampled_from([plant.sentence for plant in PLANTS] + SENTENCES), min_size=1, max_size=4),
    st.sampled_from(list(DRESSES)),
)
def test_redacting_dressed_texts_twice_is_redacting_them_once(parts: list[str], dress: str) -> None:
    once = hidden(DRESSES[dress](" ".join(parts)))
    assert hidden(once) == once


def test_a_view_leads_back_to_the_text_it_was_made_of() -> None:
    text = 'a\\u0062c %40 \u200b d\\\\"e &#64; f'
    for view in views_of(text):
        whole = view.place(0, len(view.text))
        assert whole == (0, len(text))
        places = [view.place(at, at + 1) for at in range(len(view.text))]
        assert places == sorted(places)


HOSTILE = (
    "1.2.3.4,",
    "pass: ",
    "pass=",
    "password: ",
    "aws",
    "aws=",
    "secret",
    "a@",
    "key@",
    "a@a.",
    "@.",
    "4111 1111 1111 1111 ",
    "%41",
    "::",
    "eyJ-",
    "+49 1",
    "ann@example.com ",
)


@pytest.mark.parametrize("piece", HOSTILE)
def test_twice_a_hostile_text_takes_about_twice_as_long(piece: str) -> None:
    """The texts that took longest of those made of the words and marks that patterns look for."""
    assert linear.growth(find_known, lambda n: (piece * (n // len(piece) + 1))[:n]) < linear.WORST_GROWTH


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("reach me at ann@sub.example.com", False),
        (f"reach me at ann@{'a' * 63}.com", False),
        (f"reach me at ann@{'a' * 64}.com", True),
        ("@ann said. Mail ann@example.com, or @bob", False),
        ("ann@example", True),
    ],
)
def test_an_address_has_a_dot_where_a_name_can_end(text: str, shown: bool) -> None:
    assert (not list(find_known(text))) == shown


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("the host is 10.12.13.14", True),
        ("upgraded to version 10.12.13.14", False),
        ("version 3 of the server 10.12.13.14", True),
        ("package==10.12.13.14", False),
        ("section 10.12.13.14", False),
        ("section 10.12.13.14/16", True),
        (">= 10.12.13.14", False),
    ],
)
def test_the_word_before_dotted_digits_says_whether_they_are_an_address(text: str, found: bool) -> None:
    assert bool(list(find_known(text))) == found


@pytest.mark.parametrize(
    "gap", ["=", "_key = ", " key is ", "_SECRET_ACCESS_KEY: ", f"_{'x' * 30}=", " and then = "]
)
def test_what_stands_between_aws_and_its_key_may_be_a_word(gap: str) -> None:
    key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzzTestKey9"
    assert "AWS_SECRET_KEY" in {span.kind for span in find_known(f"aws{gap}{key}")}


@given(
    st.lists(PIECES | st.text(max_size=3) | st.sampled_from(["Wort ", "été, ", "(so). "]), max_size=8).map(
        "".join
    )
)
def test_what_is_told_to_be_prose_has_no_dress_and_nothing_that_a_pattern_needs(text: str) -> None:
    known = Text(text)
    needed = {pattern.kind for pattern in PATTERNS if pattern.needs(known)}
    assert not (is_prose(text) and (needed or len(list(views_of(text))) > 1 or not known.is_plain))


@pytest.mark.parametrize("code", range(256))
def test_each_character_of_prose_is_one(code: int) -> None:
    text = f"so {chr(code) * 3} it is"
    needs = any(pattern.needs(Text(text)) for pattern in PATTERNS) or len(list(views_of(text))) > 1
    assert not (is_prose(text) and needs)


def test_sentences_are_prose() -> None:
    assert is_prose('Die Änderung (siehe unten) gilt; „oder" nicht.'.replace("„", '"'))
    assert not is_prose("call 12")
    assert not is_prose("a" * 15)
    assert not is_prose("100\u00a0%")


# --- texts with too much to hide ------------------------------------------------------------------------------

MANY = [
    "1.2.3.4,",
    "4111 1111 1111 1111,",
    "ann@example.com,",
    "pass:x1y2!,",
    "+49 170 1234567 ",
    "\u043f\u0430\u0440\u043e\u043b\u044c: q1!w2@ ",
]


@pytest.mark.parametrize("piece", MANY)
def test_a_text_with_more_to_hide_than_can_be_is_hidden_whole(piece: str) -> None:
    long = piece * (MOST_FINDINGS + 1)
    out, found = redact(example(long))
    assert (out.turns[0].text, found) == ("[TEXT_1]", {"TEXT": 1})
    assert redact(out) == (out, {})


def test_texts_of_one_example_share_what_may_be_hidden() -> None:
    """Cut into turns, the same megabyte is as dear: so it is one budget, in the order in which they are read."""
    turns = tuple(Turn("user", f"10.0.{n}.1," * 4_000) for n in range(3))
    out, found = redact(Example(turns, system="10.9.9.9", answer="a note"))
    assert out.system == "[IP_1]"
    assert [turn.text[:8] for turn in out.turns] == ["[IP_2],[", "[IP_3],[", "[TEXT_1]"]
    assert (out.answer, found) == ("a note", {"IP": 3, "TEXT": 1})
    assert redact(out) == (out, {})


def test_a_long_text_with_some_things_to_hide_loses_those_alone() -> None:
    text = "".join(f"10.0.{n % 256}.{n // 256} asked for page {n}\n" for n in range(MOST_FINDINGS))
    out, found = redact(example(text))
    assert found == {"IP": MOST_FINDINGS}
    assert out.turns[0].text.endswith(f"[IP_{MOST_FINDINGS}] asked for page {MOST_FINDINGS - 1}\n")


def test_findings_that_overlap_do_not_hide_what_comes_after_them() -> None:
    """Spans are cut off at a number; what lies beyond it was not looked at, so the text goes whole."""

    def everywhere(text: str) -> Iterator[Span]:
        yield from (Span(0, 5, "NAME") for _ in range(MOST_FINDINGS))
        yield from (Span(at, at + 4, "NAME") for at in range(len(text)) if text.startswith("Anna", at))

    out, _ = redact(example("Berta met Anna"), [everywhere])
    assert "Anna" not in out.turns[0].text


def test_the_harvest_counts_a_text_that_it_hid_whole() -> None:
    held = interaction("1.2.3.4," * (MOST_FINDINGS + 1), "ok", "someone")
    out = Redaction()(held)
    assert (out.turns[0].text, out.redacted) == ("[TEXT_1]", (("TEXT", 1),))

"""Near copies that ask something else stay, in ten languages; near copies that ask the same go."""

from __future__ import annotations

import time

import pytest

from airflow_distill.stages.dataset.curate import CurateSettings, curate
from airflow_distill.stages.dataset.meaning import ask_the_same
from airflow_distill.stages.logs.records import Interaction, Turn

# Language: a sentence long enough that one word more or less makes a near copy, with a place for a name, a number and a
# word that denies; then how it is said politely.
PLANTED = {
    "English": (
        "Tell me please why I could {no}change my booking number {n} for the flight to {name} on the site of your company",
        ("", "not "), ("Paris", "Rome"), "Tell me please why", "Tell me please exactly why",
    ),
    "German": (
        "Sagen Sie mir bitte warum ich meine Buchung Nummer {n} für den Flug nach {name} auf der Seite {no}ändern kann",
        ("", "nicht "), ("Paris", "Rom"), "Sagen Sie mir bitte warum", "Sagen Sie mir bitte genau warum",
    ),
    "French": (
        "Dites moi pourquoi je peux {no}changer ma réservation {n} pour le vol vers {name} sur le site de la compagnie",
        ("", "pas "), ("Paris", "Rome"), "Dites moi pourquoi", "Dites moi vite pourquoi",
    ),
    "Spanish": (
        "Dígame por favor por qué yo {no}puedo cambiar mi reserva {n} para el vuelo a {name} en la página de su empresa",
        ("", "no "), ("París", "Roma"), "Dígame por favor", "Dígame ya por favor",
    ),
    "Russian": (
        "Скажите пожалуйста почему я {no}могу изменить свою бронь номер {n} на рейс в город {name} на сайте вашей компании",
        ("", "не "), ("Париж", "Рим"), "Скажите пожалуйста почему", "Скажите пожалуйста точно почему",
    ),
    "Chinese": (
        "请告诉我为什么我现在{no}能在贵公司的网站上更改我飞往{name}的航班预订号码{n}谢谢您的帮助和耐心的解答祝您工作顺利",
        ("", "不"), ("巴黎", "罗马"), "请告诉我为什么", "请您告诉我为什么",
    ),
    "Japanese": (
        "なぜ私は御社のウェブサイトで{name}行きの航空便の予約番号{n}を変更することが{no}できるのか詳しく教えてくださいお願いします",
        ("", "不"), ("東京", "大阪"), "なぜ私は", "なぜ今私は",
    ),
    "Arabic": (
        "أخبرني من فضلك لماذا أنا {no}أستطيع تغيير حجزي رقم {n} للرحلة إلى {name} على موقع شركتكم اليوم وشكرا جزيلا لكم",
        ("", "لا "), ("باريس", "روما"), "أخبرني من فضلك", "أخبرني الآن من فضلك",
    ),
    "Hindi": (
        "कृपया मुझे बताइए कि मैं आपकी कंपनी की वेबसाइट पर {name} की उड़ान के लिए अपनी बुकिंग संख्या {n} {no}बदल सकता हूँ धन्यवाद",
        ("", "नहीं "), ("पेरिस", "रोम"), "कृपया मुझे बताइए", "कृपया अब मुझे बताइए",
    ),
    "Korean": (
        "귀사의 웹사이트에서 {name} 가는 항공편 예약 {n} 을 제가 지금 {no}바꿀 수 있는지 자세히 알려 주시면 감사하겠습니다",
        ("", "못 "), ("파리", "로마"), "귀사의 웹사이트에서", "귀사의 새 웹사이트에서",
    ),
}  # fmt: skip


def said(language: str, no: int = 0, name: int = 0, n: str = "4512") -> str:
    sentence, denials, names, _, _ = PLANTED[language]
    return sentence.format(no=denials[no], name=names[name], n=n)


def rows_of(language: str) -> tuple[str, dict[str, str], str]:
    """An original, what differs from it in meaning, and what does not."""
    original = said(language)
    others = {
        "negation": said(language, no=1),
        "name": said(language, name=1),
        "number": said(language, n="4513"),
        "sign": said(language, n="-4512"),
    }
    _, _, _, plain, polite = PLANTED[language]
    return original, others, original.replace(plain, polite)


def interaction(text: str) -> Interaction:
    turns = (Turn("user", text),)
    return Interaction("r", "2026-11-20T00:00:00Z", "Converse", "m", "m", turns, "fine")


def near_copies(texts: list[str], near_duplicates: float | str) -> list[str]:
    settings = CurateSettings(salt="s", near_duplicates=near_duplicates, heldout=0.0)
    out = curate(map(interaction, texts), settings, student="amazon.nova-micro-v1:0:128k")
    return [row.example.turns[0].text for row in out.rows if row.reason == "near_duplicate"]


@pytest.mark.parametrize("language", PLANTED)
def test_a_careful_search_drops_the_copy_and_nothing_that_asks_something_else(language: str) -> None:
    original, others, copy = rows_of(language)
    assert near_copies([original, *others.values(), copy], "careful") == [copy]


def test_the_planted_pairs_are_near_enough_to_mislead_a_search_by_words_alone() -> None:
    """Precision, the share of copies in what is dropped, is far from 1 without care."""
    dropped = wrong = 0
    for language in PLANTED:
        original, others, copy = rows_of(language)
        found = near_copies([original, *others.values(), copy], 0.8)
        dropped += len(found)
        wrong += sum(text != copy for text in found)
    assert wrong > 15
    assert dropped - wrong >= 8


SAME = [
    ("Where is my card?", "where is my card please"),
    ("WHERE IS MY CARD NOW", "Where is my card"),
    ("Hi, where is my card? Thanks!", "where is my card"),
    ("How do I reset my password", "How can I reset my password"),
    ("Wo ist meine Karte?", "Wo ist meine Karte bitte"),
    ("我的卡在哪里", "请问我的卡在哪里"),
    ("Is order 12 in Paris?", "Please, is order 12 in Paris?"),
]
NOT_SAME = [
    ("weather in paris", "weather in london"),
    ("Translate from English to German", "Translate from German to English"),
    ("is 5 > 3", "is 3 > 5"),
    ("Is the number valid", "Is the number invalid"),
    ("Can I return it", "Can't I return it"),
    ("open config_a.py", "open config_b.py"),
    ("I was in Rome", "I was there"),
    ("Refund order A12", "Refund order A13"),
    ("行けます", "行けません"),
    ("ฉันไปได้", "ฉันไม่ไปได้"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_asks_the_same_in_other_words_counts_as_one(one: str, other: str) -> None:
    assert ask_the_same(one, other)
    assert ask_the_same(other, one)


@pytest.mark.parametrize(("one", "other"), NOT_SAME)
def test_a_number_a_sign_a_negation_or_a_name_tells_prompts_apart(one: str, other: str) -> None:
    assert not ask_the_same(one, other)
    assert not ask_the_same(other, one)


def test_long_texts_are_told_apart_quickly() -> None:
    text = "Word 5 > x_y " * 20_000
    began = time.process_time()
    assert not ask_the_same(text, text + "not")
    assert time.process_time() - began < 3

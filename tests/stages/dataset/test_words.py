"""What makes two prompts one: their form, never a character that carries meaning."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_distill.stages.dataset.fingerprints import exact_key
from airflow_distill.stages.dataset.records import Example, Turn
from airflow_distill.stages.dataset.split import opening_key
from airflow_distill.stages.dataset.words import bare_words, exact_form, folded_words
from airflow_distill.stages.digest import canonical_text

SCRIPTS = {
    "Latin": "abcdefghijklmnopqrstuvwxyzäöüßéèçñåøłđžőığ",
    "Greek": "αβγδεζηθικλμνξοπρστυφχψωάέήίόύώϊϋ",
    "Cyrillic": "абвгдежзийклмнопрстуфхцчшщъыьэюяёїєґ",
    "Armenian": "աբգդեզէըթժիլխծկհձղճմյնշոչպջռսվտրցւփքօֆ",
    "Hebrew": "אבגדהוזחטיכלמנסעפצקרשתםןךףץ\u05b0\u05b1\u05b4\u05b7\u05b8\u05bc\u05c1\u05c2",
    "Arabic": "ابتثجحخدذرزسشصضطظعغفقكلمنهويءآأؤإئةى\u064b\u064e\u064f\u0650\u0651\u0652",
    "Devanagari": "कखगघचछजटठडणतदनपबमयरलवशसहअआइईउऊएऐओऔािीुूृेैोौं्",
    "Bengali": "কখগঘচছজটঠডতথদধনপফবভমযরলশষসহঅআইউএওািীুূেোৌ্",
    "Tamil": "கஙசஞடணதநபமயரலவழளறனஅஆஇஈஉஊஎஏஐஒாிீுூெேைொோ்",
    "Thai": "กขคงจฉชซดตถทนบปผพฟมยรลวศสหอะาิีึืุูเแโใไ่้๊๋",
    "Korean": "가나다라마바사아자차카타파하거너더러머버서어저처각난닫랄맘밥삿앙",
    "Japanese": "あいうえおかきくけこさしすせそがぎぐげごぱぴぷアイウエオカキガギパピ日月火水木金土人口車門東西南北",
    "Chinese": "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年",
    "signs": "+-*/=<>!%#$€£&|^~@0123456789½²³°≤≥≠±×÷👍👎🙂🙁❤🚗✈",
}
TWELVE = [name for name in SCRIPTS if name != "signs"]


def text_of(script: str) -> st.SearchStrategy[str]:
    letters = st.sampled_from(SCRIPTS[script])
    word = st.lists(letters, min_size=1, max_size=7).map("".join)
    return st.lists(word, min_size=1, max_size=6).map(" ".join)


def key(text: str) -> bytes:
    return exact_key(Example((Turn("user", text),)))


def means_the_same(one: str, other: str) -> bool:
    """Whether two characters are one in another form, by Unicode's own tables."""
    return unicodedata.normalize("NFC", one.casefold()) == unicodedata.normalize("NFC", other.casefold())


@settings(max_examples=40, deadline=None)
@given(st.data())
@pytest.mark.parametrize("script", SCRIPTS)
def test_one_meaningful_character_makes_another_prompt(script: str, data: st.DataObject) -> None:
    text = data.draw(text_of(script))
    at = data.draw(st.sampled_from([n for n, c in enumerate(text) if c != " "]))
    other = data.draw(st.sampled_from(SCRIPTS[script] + SCRIPTS["signs"]))
    changed = text[:at] + other + text[at + 1 :]
    if not means_the_same(text, changed):
        assert key(text) != key(changed)
        assert key(text) != key(text + other)


FORMS = {
    "decomposed": lambda text: unicodedata.normalize("NFD", text),
    "composed": lambda text: unicodedata.normalize("NFC", text),
    "in capitals": lambda text: text if "ß" in text or "ı" in text else text.upper(),
    "first letters in capitals": lambda text: text if "ß" in text or "ı" in text else text.title(),
    "more space": lambda text: f"\n  {text.replace(' ', '   ')}\t",
    "lines": lambda text: text.replace(" ", "\r\n"),
    "no-break spaces": lambda text: text.replace(" ", "\xa0"),
    "with marks of no width": lambda text: "\ufeff" + text.replace(" ", "\u200b "),
}


@settings(max_examples=12, deadline=None)
@given(st.data())
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("script", SCRIPTS)
def test_form_alone_makes_no_other_prompt(script: str, form: str, data: st.DataObject) -> None:
    text = data.draw(text_of(script))
    assert key(text) == key(FORMS[form](text))


APART = [
    ("How do I sort a list in C?", "How do I sort a list in C++?"),
    ("How do I sort a list in C?", "How do I sort a list in C#?"),
    ("Is -5 valid?", "Is 5 valid?"),
    ("a > b", "a < b"),
    ("a >= b", "a > b"),
    ("5 + 3", "5 - 3"),
    ("x == y", "x != y"),
    ("$5", "€5"),
    ("1.5", "1,5"),
    ("x²", "x2"),
    ("H₂O", "H2O"),
    ("½ cup", "12 cup"),
    ("Trink in Maßen", "Trink in Massen"),
    ("मेल", "मूल"),
    ("কল", "কাল"),
    ("கல்", "கால்"),
    ("كَتَبَ", "كُتِبَ"),
    ("סֵפֶר", "סַפָּר"),
    ("👍", "👎"),
    ("I feel 🙂", "I feel 🙁"),
    ("Yes?", "Yes!"),
    ("re-sign", "resign"),
    ("50%", "50"),
]


@pytest.mark.parametrize(("one", "other"), APART)
def test_what_asks_something_else_has_another_key(one: str, other: str) -> None:
    assert exact_form(one) != exact_form(other)


TOGETHER = [
    ("Where IS  my card?", "where is my card?"),
    ("ｃａｒｄ　１２３", "card 123"),
    ("ﾊﾝｶｸ ｶﾅ", "ハンカク カナ"),
    ("ΟΔΟΣ", "οδος"),
    ("efﬁcient", "EFFICIENT"),
    ("ﻣﺮﺣﺒﺎ", "مرحبا"),
    ("caf\u0065\u0301", "CAFÉ"),
    ("GROẞ", "groß"),
]


@pytest.mark.parametrize(("one", "other"), TOGETHER)
def test_what_differs_in_form_only_has_one_key(one: str, other: str) -> None:
    assert exact_form(one) == exact_form(other)


def test_vowel_signs_and_signs_are_part_of_the_words_that_near_copies_are_counted_by() -> None:
    assert folded_words("नमस्ते दुनिया") == ["नमस्ते", "दुनिया"]
    assert folded_words("কলম কালি") == ["কলম", "কালি"]
    assert folded_words("ไม่ได้") == ["ไ", "ม่", "ไ", "ด้"]
    assert folded_words("C++ or C#, -1.5 <= 20%?") == ["c++", "or", "c#", "-1.5", "<=", "20%"]


def test_the_side_of_a_prompt_does_not_follow_signs_and_so_never_changed() -> None:
    """The digests of the first turns are those of the first version; a prompt that moves has judged for nothing."""
    assert bare_words("Is C++ -5 नमस्ते?") == ["is", "c", "5", "नमस", "त"]
    assert opening_key(Example((Turn("user", "Where is my card?"),))) == PINNED
    assert opening_key(Example((Turn("user", "where is my CARD!!"),))) == PINNED


PINNED = "32a9ac6d9e945a2b154371846dc1a72c"


def test_a_run_of_marks_longer_than_any_language_has_stays_and_an_ordinary_one_is_put_in_order() -> None:
    """Its time is held by tests/security; what it says is not cut, so two such texts are two."""
    zalgo = "a" + "\u0301" * 200 + "\u0316" * 200 + "b"
    assert exact_form(zalgo) != exact_form(zalgo[:31] + "b")
    assert exact_form(zalgo) == exact_form(exact_form(zalgo))
    assert exact_form("a\u0301\u0316") == exact_form("a\u0316\u0301")
    stacked = "ด" + "\u0e38\u0e48" * 3 + " ק\u05b8\u05bc"
    assert canonical_text(stacked) == unicodedata.normalize("NFC", stacked)

"""Prompts and answers as people and models write them elsewhere: same or not, refused or told no, thought or said."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_distill.stages.dataset.drop import without_thinking
from airflow_distill.stages.dataset.fingerprints import exact_key
from airflow_distill.stages.dataset.meaning import ask_the_same
from airflow_distill.stages.dataset.records import Example, Turn
from airflow_distill.stages.dataset.refusals import is_refusal


def key(text: str) -> bytes:
    return exact_key(Example((Turn("user", text),)))


TOLD_APART = [
    ("x == y", "x = y"), ("a & b", "a && b"), ("1/2", "12"), ("f(x)", "f x"), ("10^3", "103"), ("co-op", "coop"),
    ("O'Neil", "ONeil"), ("$5", "£5"), ("5°", "5"), ("½", "1/2"),
    ("x?", "x!"), ("@bob", "bob"), ("≤", "≥"), ("→", "←"),
    ("1,500", "1.500"), ("−5", "5"), ("10:30", "1030"), ("ß", "ss"),
    ("café", "cafe"), ("ñ", "n"), ("ı", "i"), ("ё", "е"),
    ("नहीं", "नही"), ("কি", "কী"), ("பல", "பால்"), ("กา", "ก่า"),
    ("שָלוֹם", "שלום"), ("مَلِك", "مُلْك"), ("が", "か"), ("ぱ", "ば"),
    ("다", "타"), ("👍🏽", "👍🏿"), ("👨‍👩‍👧", "👨‍👩‍👦"), ("ක්", "ක"), ("ក្រ", "ករ"), ("မြ", "မ"), ("አ", "ኣ"), ("ა", "ბ"),
]  # fmt: skip
ONE = [
    ("e\u0301", "\u00e9"), ("Hello  World", "hello world"), ("ＡＢＣ", "ABC"),
    ("ｶﾞ", "ガ"), ("ﬁ", "fi"), ("1\u1112\u1161", "1하"),
    ("a\u00a0b", "a b"), ("a\u3000b", "a b"), ("a\r\nb", "a\nb"), ("１２３", "123"), ("\ufeffa", "a"), ("Σας", "ΣΑΣ"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), TOLD_APART)
def test_prompts_that_differ_in_a_mark_that_means_something_are_two(one: str, other: str) -> None:
    assert key(one) != key(other)


@pytest.mark.parametrize(("one", "other"), ONE)
def test_prompts_that_differ_in_form_only_are_one(one: str, other: str) -> None:
    assert key(one) == key(other)


SCRIPTS = {
    "Latin": "aebcdfgtéñ", "Cyrillic": "абвгдежзий", "Greek": "αβγδεζηθικ",
    "Arabic": "ابتثجحخدذر", "Hebrew": "אבגדהוזחטי",
    "Devanagari": "कखगघचछजािी", "Bengali": "কখগঘচছজািী", "Tamil": "கசடதபமயாிீ",
    "Thai": "กขคงจฉชาิี", "Han": "你我他她它这那哪谁什",
    "Kana": "かきくけこがぎぐげご", "Hangul": "가나다라마바사아자차",
}  # fmt: skip
SIGNS = "+-*/<>=%#@&$€!?'\"1234567890"


@given(st.sampled_from(sorted(SCRIPTS)), st.data())
def test_one_character_that_means_something_makes_another_prompt_in_twelve_scripts(
    script: str, data: st.DataObject
) -> None:
    letters = SCRIPTS[script]
    text = data.draw(
        st.text(letters + " ", min_size=3, max_size=20).filter(lambda t: t.strip() == t and "  " not in t)
    )
    place = data.draw(st.integers(0, len(text)))
    sign = data.draw(st.sampled_from(letters + SIGNS))
    assert key(text) != key(text[:place] + sign + text[place:])


@given(st.sampled_from(sorted(SCRIPTS)), st.data())
def test_form_case_and_space_make_no_other_prompt_in_twelve_scripts(script: str, data: st.DataObject) -> None:
    text = data.draw(st.text(SCRIPTS[script] + SIGNS + " ", min_size=1, max_size=30).filter(str.strip))
    space = data.draw(st.sampled_from([" ", "\u00a0", "\u3000", "\n", "\t ", "\u2009"]))
    dressed = unicodedata.normalize(data.draw(st.sampled_from(["NFC", "NFD"])), text)
    assert key(dressed.upper().replace(" ", space)) == key(text)


ANOTHER = [
    ("How do I turn on two-factor authentication for my account", "on", "off"),
    ("I want to increase my credit limit for the holiday season", "increase", "decrease"),
    ("What happened before the meeting with the Sales team", "before", "after"),
    ("Give me the minimum value of the list of numbers in Python", "minimum", "maximum"),
    ("Sort the list ascending by date and print it in Python", "ascending", "descending"),
    ("Can I deposit cash into the Basic account at a branch", "deposit", "withdraw"),
    ("How do I upload the file to the Acme portal from my phone", "upload", "download"),
    ("Is the Rose cafe open on monday at noon for lunch", "monday", "tuesday"),
    ("Ist das Konto im Vertrag Basis heute noch kostenlos", "heute", "morgen"),
    ("Wie kann ich das Licht im Auto aktivieren bitte", "aktivieren", "deaktivieren"),
    ("Comment activer les messages de Banque Sud sur mon compte", "activer", "désactiver"),
    ("Puedo comprar acciones de Acme en la aplicación mañana", "comprar", "vender"),
    ("Posso aumentare il limite della carta Oro per il viaggio", "aumentare", "diminuire"),
    ("Можно ли отменить заказ Экспресс до понедельника на сайте", "до", "после"),
    ("Siparişimi Pazartesi gününe kadar iptal edebilir miyim", "edebilir", "edemez"),
    ("Kan ik mijn pakket van Acme morgen ophalen of niet", "morgen", "gisteren"),
    ("Is it safe to mix Ammonia and bleach in the kitchen", "safe", "unsafe"),
    ("I can log in to my Acme account with the new phone", "can", "can't"),
    ("Je peux annuler ma commande Acme après la livraison", "peux", "ne peux pas"),
    ("我想把订单的收货地址改成北京市朝阳区", "北京", "上海"),
    ("注文をキャンセルできますか来週の月曜日までに", "できます", "できません"),
    ("주문을 취소할 수 있나요 다음 주 월요일까지", "있나요", "없나요"),
    ("ฉันสามารถยกเลิกคำสั่งซื้อก่อนวันจันทร์ได้หรือเปล่า", "สามารถ", "ไม่สามารถ"),
    ("Tôi có thể hủy đơn hàng Acme trước thứ hai", "có thể", "không thể"),
]


@pytest.mark.parametrize(("text", "word", "instead"), ANOTHER)
def test_a_word_in_the_place_of_its_opposite_asks_something_else(text: str, word: str, instead: str) -> None:
    other = text.replace(word, instead, 1)
    assert other != text
    assert not ask_the_same(text, other)
    assert not ask_the_same(other, text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Hi, how can I reset my Acme password for the portal?", "Hello, how can I reset my Acme password for the portal?"),
        ("How can I reset my Acme password for the portal please", "How can I reset my Acme password for the portal"),
        ("Bitte sagen Sie mir, wie ich das Konto bei Acme eröffne", "Sagen Sie mir, wie ich das Konto bei Acme eröffne"),
        ("where is my parcel from Acme right now", "Where is my parcel from Acme right now?"),
    ],
)  # fmt: skip
def test_politeness_makes_no_other_question(one: str, other: str) -> None:
    assert ask_the_same(one, other)


REFUSED = [
    "I cannot comply with requests that involve self-harm.",
    "I won't help with creating malware.",
    "Es tut mir leid, aber dabei kann ich nicht helfen.",
    "Leider kann ich Ihnen bei dieser Anfrage nicht weiterhelfen.",
    "مع الأسف، لا أستطيع المساعدة في هذا الطلب.",
    "ขออภัย ฉันไม่สามารถช่วยเหลือเรื่องนี้ได้",
    "Xin lỗi, tôi không thể hỗ trợ yêu cầu này.",
    "Maaf, saya tidak dapat membantu permintaan itu.",
    "Jag är ledsen, men jag kan inte hjälpa till med det.",
    "Beklager, jeg kan ikke hjelpe deg med det.",
    "Omlouvám se, ale s tím nemohu pomoci.",
    "Îmi pare rău, dar nu pot ajuta cu asta.",
    "Вибачте, але я не можу допомогти з цим.",
    "Λυπάμαι, αλλά δεν μπορώ να βοηθήσω με αυτό.",
    "אני מצטער, אבל אני לא יכול לעזור עם זה.",
]
TOLD = [
    "Es tut mir leid, das zu hören. Ich kann Ihnen gern helfen: wie lautet die Nummer?",
    "Es tut mir leid, ich kann Ihnen dabei helfen.",
    "Leider können wir das nach 30 Tagen nicht erstatten.",
    "ขออภัย ร้านปิดวันจันทร์",
    "Xin lỗi, đơn hàng của bạn bị trễ một ngày.",
    "Maaf, toko kami tutup pada hari Senin.",
    "Beklager, varen er utsolgt.",
    "Omlouváme se, zboží není skladem.",
    "Îmi pare rău, comanda a fost anulată.",
    "Sorry for the delay! Your parcel arrives tomorrow.",
    "No, you cannot bring pets into the cabin.",
    "I cannot log in is a common problem. Try to reset the password.",
    "抱歉，订单超过30天不能退款。",
    "申し訳ございませんが、この商品は返品できません。",
]


@pytest.mark.parametrize("answer", REFUSED)
def test_a_model_that_declines_refuses_in_any_language(answer: str) -> None:
    assert is_refusal(answer)


@pytest.mark.parametrize("answer", TOLD)
def test_a_policy_or_an_apology_is_no_refusal(answer: str) -> None:
    assert not is_refusal(answer)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("<thinking >a</thinking >b", "b"),
        ("<think>a<think>b</think>c</think>d", "d"),
        ("The user wants a date.\n</think>\n\nIt is Monday.", "It is Monday."),
        ("Let me see.\n</thinking>\nMonday.", "Monday."),
        ("```xml\n<thinking>x</thinking>\n```\nis it.", "```xml\n<thinking>x</thinking>\n```\nis it."),
        ("Close it with </think> in the prompt.", "Close it with </think> in the prompt."),
        ("`</think>`\nends it.", "`</think>`\nends it."),
        ("<thinking>see ```code```</thinking>\n```\nx\n```", "```\nx\n```"),
        ("<think></think>\n\nYes.", "Yes."),
        ("İ <i>think</i> so", "İ <i>think</i> so"),
    ],
)  # fmt: skip
def test_thinking_is_taken_out_however_it_is_tagged_and_text_about_it_stays(answer: str, said: str) -> None:
    assert without_thinking(answer) == said

"""Texts of the project's own making that read like what people and programs send to a model.

`questions` gives distinct questions to an invented bank, each with its topic; `passages` gives questions about long
passages that share most of their words; `other_scripts` gives requests in the world's writing systems, with code and
JSON among them. All come from a seed, so every test sees the same texts on every machine. Tests assert properties that
hold for any text; nothing here is tuned until a test passes.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

OPENINGS = """
Hello there,|Good morning,|Hi team,|Quick one:|To whom it may concern,|Sorry to bother you again,|I need some help here,
This is getting urgent,|I hope you can sort this out,|My wife told me to ask you,|As a customer of twelve years I must say,
Honestly I am a bit lost,|Can somebody look into this?|Not sure whether this is the right place,|Second message today:
Before I call the hotline,|Following up on my last note,|Just back from holidays and found this,
I read your help pages twice,
Your app crashed while I typed this,|Please forward this to the right desk,|I am writing on behalf of my father,
One thing puzzles me,|My accountant wants to know this,|I am new to your bank,|Long story short,|For the third time now,
"""

PLACES = """
at the station in Lisbon|in a bakery near Graz|while I was in Osaka|on the ferry to Split|at a petrol pump outside Leeds
in the hotel lobby in Accra|at the kiosk under the bridge|on a market in Marrakesh|during the layover in Doha
at the pharmacy on Elm Street|from my sister's laptop|at the self checkout|in the mountains near Zermatt
while paying for parking|at the museum shop|with the new phone|inside the airport lounge|on the night train to Vienna
at the vet's practice|in my own kitchen|at the hardware store|during a video call|on a campsite in Brittany
"""

TIMES = """
last Tuesday|two weeks ago|this very morning|on the first of March|shortly after midnight|for about a month now
since the update|the day before payday|right after I moved house|over the long weekend|between Christmas and New Year
on my birthday of all days|yesterday around noon|every single evening|during the storm|once in April and again in June
"""

TOPICS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "card_lost": (
        (
            "my card slipped out of my coat and is gone",
            "somebody lifted my wallet with the card inside",
            "I left the plastic in a taxi and cannot reach the driver",
            "the dog buried my debit card, I am not joking",
            "the envelope came but the card was missing from it",
            "my purse fell into the harbour with everything in it",
        ),
        (
            "how do I block it and get another one",
            "please freeze it until I have searched the car",
            "will the replacement keep the same digits",
            "who pays if a thief uses it tonight",
            "can you send the new one to my office instead",
        ),
    ),
    "transfer_pending": (
        (
            "the money I wired to my landlord never got there",
            "a payment to my supplier hangs as pending",
            "I sent rent and the status says processing",
            "my cousin in Manila still waits for what I sent",
            "the deposit for the caravan has vanished between two banks",
            "an instant payment turned out not to be instant",
        ),
        (
            "when will it arrive",
            "can I call it back and try once more",
            "which desk can trace a wire",
            "does a bank holiday explain the delay",
            "should I send it again or wait",
        ),
    ),
    "exchange_rate": (
        (
            "I was charged a rate that is nowhere near the official one",
            "the conversion took a bite out of my holiday budget",
            "euros became far fewer pounds than your table promises",
            "the receipt says one amount and the statement another",
            "you converted twice, into dollars and then into francs",
            "the markup on the yen looks like a mistake",
        ),
        (
            "how is the rate worked out",
            "where do I see the rate before I pay",
            "is there a fee on weekends",
            "could I hold a balance in that currency instead",
            "will you refund the difference",
        ),
    ),
    "identity_check": (
        (
            "the selfie check rejects me although I look like me",
            "my passport photo was refused with no reason given",
            "your form does not accept my two family names",
            "I changed my surname and the old one still shows",
            "the camera step loops for ever on my tablet",
            "you ask for proof of address and I live on a boat",
        ),
        (
            "what else may I send as proof",
            "is there a branch where a human looks at it",
            "why do you need this at all",
            "how long does the review take",
            "can I use a driving licence instead",
        ),
    ),
    "cash_withdrawal": (
        (
            "the machine kept my banknotes and still booked them",
            "I took out fifty and eighty is gone from the balance",
            "the cash point swallowed the card after the third try",
            "a withdrawal shows up that none of us made",
            "the screen froze while it was counting",
            "my limit ran out long before the figure you advertise",
        ),
        (
            "how do I dispute it",
            "what is the daily limit abroad",
            "which machines charge nothing",
            "when do I get the missing notes back",
            "can you raise the limit for a week",
        ),
    ),
    "account_closing": (
        (
            "I want to leave and take my savings with me",
            "the joint account has outlived the marriage",
            "my late uncle had an account with you",
            "we are moving to another continent for good",
            "your fees went up once too often",
            "the business behind the account was sold",
        ),
        (
            "what papers do you want from me",
            "how do I close it without losing the interest",
            "can the standing orders move with me",
            "to whom do I return the reader",
            "is there a charge for ending it early",
        ),
    ),
}

SCRIPTS: dict[str, tuple[str, ...]] = {
    "latin": (
        "Können Sie mir bitte erklären, warum die Überweisung nach Köln schon wieder fehlschlug?",
        "Pourriez-vous vérifier où est passé le virement que j'ai fait à l'école de ma fille ?",
        "¿Por qué me han cobrado dos veces la misma compra en la panadería de la esquina?",
        "Vì sao thẻ của tôi bị từ chối khi trả tiền ở hiệu sách gần nhà?",
        "Kartımı kaybettim, yenisini şubeden alabilir miyim yoksa eve mi gelir?",
    ),
    "cyrillic": (
        "Почему перевод брату до сих пор не дошёл, хотя деньги списали в понедельник?",
        "Чи можна отримати нову картку поштою, якщо я зараз за кордоном?",
    ),
    "greek": ("Γιατί η κάρτα μου δεν λειτουργεί στο νησί ενώ στην Αθήνα δούλευε κανονικά;",),
    "arabic": (
        "لماذا لم يصل التحويل إلى حساب والدتي رغم مرور ثلاثة أيام؟",
        "كيف أوقف البطاقة المفقودة من الهاتف؟",
    ),
    "hebrew": ("למה ההעברה לאחותי עדיין לא הגיעה והכסף כבר ירד מהחשבון?",),
    "devanagari": ("मेरा पैसा खाते से कट गया लेकिन दुकानदार को नहीं मिला, अब क्या करूँ?", "खोया हुआ कार्ड कैसे बंद करें?"),
    "bengali": ("আমার কার্ড হারিয়ে গেছে, নতুন কার্ড পেতে কত দিন লাগবে?",),
    "tamil": ("என் அட்டை தொலைந்துவிட்டது, புதியதை எப்படிப் பெறுவது?",),
    "thai": ("ทำไมเงินที่โอนให้แม่เมื่อวานยังไม่เข้าบัญชีสักที", "บัตรหายที่สถานีรถไฟต้องทำอย่างไร"),
    "han": (
        "我昨天在机场取款，机器没有吐钞，却已经扣了我的余额。",
        "請問遺失的卡片要怎麼停用，新卡多久會寄到？",
    ),
    "kana": (
        "昨日コンビニで引き出したお金が二重に引き落とされているのはなぜですか。",
        "カードをなくしました。止めてもらえますか。",
    ),
    "hangul": ("어제 부모님께 보낸 돈이 아직 도착하지 않았는데 왜 그런가요?",),
}

CODE = (
    "def total(rows):\n    return sum(r['amount'] for r in rows if r['ok'])\n# why does this raise KeyError on empty rows?",
    'SELECT city, COUNT(*) FROM visits WHERE day >= "2025-03-01" GROUP BY city HAVING COUNT(*) > 5; -- explain',
    "for (int i = 0; i <= n; ++i) { a[i] = b[i] - c[i]; } // is this off by one?",
    "curl -s http://localhost:8080/health | jq '.status' prints null, what did I miss?",
)

COMPANIES = ("Northwind Ferries", "Halden Textiles", "Orchard Robotics", "Pellworm Energy", "Quillon Paper")
FIGURES = ("revenue", "headcount", "capital spending", "inventory", "deferred tax", "pension cost", "churn")


def lines(block: str) -> tuple[str, ...]:
    """The phrases of a block, parted by bars and line ends."""
    return tuple(part.strip() for part in block.replace("\n", "|").split("|") if part.strip())


def begin(text: str) -> str:
    """The text with a capital first letter."""
    return text[0].upper() + text[1:]


def questions(count: int, seed: int = 5) -> list[tuple[str, str]]:
    """So many distinct questions of eight words and more, each with its topic, the same for the same seed."""
    rng = random.Random(seed)
    openings, places, times = lines(OPENINGS), lines(PLACES), lines(TIMES)
    made: dict[str, str] = {}
    while len(made) < count:
        topic = rng.choice(list(TOPICS))
        facts, wishes = TOPICS[topic]
        parts = [rng.choice(facts), rng.choice(places), rng.choice(times)]
        rng.shuffle(parts)
        text = f"{rng.choice(openings)} {', '.join(parts)}. {begin(rng.choice(wishes))}?"
        if rng.random() < 0.3:
            text = text.lower()
        if rng.random() < 0.4:
            text += f" {begin(rng.choice(wishes))}?"
        made.setdefault(" ".join(text.split()), topic)
    return list(made.items())


ASKED = (
    "according to the passage, how did the {0} compare with the {1}, and what had been promised {2}?",
    "which of the two, {0} or {1}, moved further, and was anything of it announced {2}?",
    "summarise in one sentence for a reader who knows nothing of {0} what happened {2} and why {1} matters",
    "is there any figure for {1} at all, and if so does it agree with what was said {2} of {0}?",
)


def passages(count: int, seed: int = 5) -> list[str]:
    """Two prompts a passage: instructions and the passage are the same, the questions differ."""
    rng = random.Random(seed)
    prompts: list[str] = []
    while len(prompts) < count:
        company = rng.choice(COMPANIES)
        year = rng.randrange(2009, 2025)
        sentences = [
            f"In {year} the {rng.choice(FIGURES)} of {company} {rng.choice(('rose', 'fell', 'came'))} to "
            f"{rng.randrange(11, 999)}.{rng.randrange(10)} million, {rng.choice(lines(TIMES))}, as the board had said "
            f"{rng.choice(lines(PLACES))}."
            for _ in range(6)
        ]
        prompts += [
            "Answer from the passage alone. If it does not say, answer with the two words not stated.\n"
            f"<passage>\n{' '.join(sentences)}\n</passage>\n"
            f"Question: {asked.format(*rng.sample(FIGURES, 2), rng.choice(lines(PLACES)))}"
            for asked in rng.sample(ASKED, 2)
        ]
    return prompts[:count]


def other_scripts() -> Iterator[str]:
    """Requests in many writing systems, with code and JSON among them."""
    for texts in SCRIPTS.values():
        yield from texts
    yield from CODE
    for number, (text, topic) in enumerate(questions(20)):
        yield json.dumps(
            {"id": number, "topic": topic, "message": text, "tags": ["bank", topic], "ok": number % 2 == 0}
        )

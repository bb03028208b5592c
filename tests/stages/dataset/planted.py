"""Secrets and identifiers to plant in traffic, each in the sentence people or programs write it in.

All are made up from a seeded generator; none was ever valid. Shared by the tests of redaction, of the build and of the
operators.
"""

from __future__ import annotations

import base64
import random
import re
import string
from collections.abc import Callable, Iterator

from airflow_distill.stages.dataset.redact import Span

LETTERS = string.ascii_letters
ALNUM = string.ascii_letters + string.digits


class Maker:
    """Makes values from a seeded generator."""

    def __init__(self, seed: int = 11) -> None:
        self.rng = random.Random(seed)

    def text(self, alphabet: str, size: int) -> str:
        return "".join(self.rng.choices(alphabet, k=size))

    def mixed(self, size: int) -> str:
        """Letters and digits, at least one of each."""
        return "a7" + self.text(ALNUM, size - 2)

    def digits(self, size: int) -> str:
        return self.text(string.digits, size)

    def email(self) -> str:
        user = self.text(string.ascii_lowercase, 7)
        return self.rng.choice(
            [
                f"{user}@example.com",
                f"{user}.{self.text(string.ascii_lowercase, 4)}+tag@mail.example.co.uk",
                f"{user}_1@sub.example.org",
            ]
        )

    def phone(self) -> str:
        d = self.digits
        return self.rng.choice(
            [
                f"+1 {self.rng.randint(201, 989)}-555-{d(4)}",
                f"+49 {self.rng.randint(150, 179)} {d(7)}",
                f"({self.rng.randint(201, 989)}) 555-{d(4)}",
                f"{self.rng.randint(201, 989)}-555-{d(4)}",
                f"+44 20 7{d(3)} {d(4)}",
                f"+336{d(8)}",
            ]
        )

    def card(self) -> str:
        body = "4" + self.digits(14)
        for last in string.digits:
            if luhn(body + last):
                number = body + last
        return self.rng.choice(
            [
                number,
                " ".join(number[i : i + 4] for i in range(0, 16, 4)),
                "-".join(number[i : i + 4] for i in range(0, 16, 4)),
            ]
        )

    def iban(self) -> str:
        body = self.digits(18)
        check = 98 - int(body + "131400") % 97
        number = f"DE{check:02d}{body}"
        return self.rng.choice([number, " ".join(number[i : i + 4] for i in range(0, 22, 4))])

    def ssn(self) -> str:
        return f"{self.rng.randint(100, 665)}-{self.rng.randint(10, 99)}-{self.rng.randint(1000, 9999)}"

    def ip(self) -> str:
        if self.rng.random() < 0.7:
            return f"10.{self.rng.randint(1, 250)}.{self.rng.randint(1, 250)}.{self.rng.randint(1, 250)}"
        return "2001:db8:" + ":".join(f"{self.rng.randint(4096, 65535):x}" for _ in range(6))

    def jwt(self) -> str:
        def part(size: int) -> str:
            return base64.urlsafe_b64encode(self.rng.randbytes(size)).decode().rstrip("=")

        return f"eyJhbGciOiJIUzI1NiJ9.{part(40)}.{part(32)}"

    def private_key(self) -> str:
        kind = self.rng.choice(["RSA ", "EC ", "OPENSSH ", ""])
        body = "\n".join(self.text(ALNUM + "+/", 64) for _ in range(4))
        return f"-----BEGIN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----"

    def api_key(self) -> str:
        return self.rng.choice(
            [
                "sk-proj-" + self.mixed(48),
                "sk-ant-api03-" + self.mixed(60),
                "sk_live_" + self.mixed(24),
                "ghp_" + self.mixed(36),
                "github_pat_" + self.mixed(60),
                "glpat-" + self.mixed(20),
                "xoxb-" + self.digits(12) + "-" + self.mixed(24),
                "AIza" + self.mixed(35),
                "npm_" + self.mixed(36),
                "hf_" + self.mixed(34),
                "SG." + self.mixed(22) + "." + self.mixed(43),
            ]
        )


def luhn(number: str) -> bool:
    digits = [int(c) for c in number]
    return (sum(digits[-1::-2]) + sum(sum(divmod(2 * d, 10)) for d in digits[-2::-2])) % 10 == 0


Case = tuple[str, str, str]
"""Kind, secret, sentence."""

KINDS: dict[str, tuple[Callable[[Maker], str], tuple[str, ...]]] = {
    "EMAIL": (
        Maker.email,
        ("Write to {} please.", "from: <{}>", "My address is {}, thanks", '{{"mail":"{}"}}'),
    ),
    "PHONE": (Maker.phone, ("Call me at {}.", "tel: {}", "My number {} does not work", "phone={}")),
    "CARD": (Maker.card, ("My card {} was refused.", "card number: {}", "pay with {}, exp 12/29")),
    "IBAN": (Maker.iban, ("Send it to {}.", "IBAN: {}", "account {} at your bank")),
    "SSN": (Maker.ssn, ("My SSN is {}.", "ssn: {}", "social {} ok?")),
    "IP": (Maker.ip, ("The server at {} is down.", "ping {}", "src={} dst=internal")),
    "JWT": (Maker.jwt, ("Decode {} for me", "token: {}", "cookie {}; path=/")),
    "BEARER_TOKEN": (
        lambda m: m.mixed(40),
        ("Authorization: Bearer {}", "curl -H 'Authorization: bearer {}'"),
    ),
    "AWS_ACCESS_KEY": (
        lambda m: m.rng.choice(("AKIA", "ASIA")) + m.text(string.ascii_uppercase + string.digits, 16),
        ("aws_access_key_id = {}", "My key {} stopped working", "key={}&x=1"),
    ),
    "AWS_SECRET_KEY": (
        lambda m: m.mixed(20) + "/" + m.mixed(18) + "+",
        ("aws_secret_access_key = {}", 'AWS secret access key is "{}"', "SECRET_KEY: {}"),
    ),
    "API_KEY": (Maker.api_key, ("Use {} to call it.", "OPENAI_API_KEY={}", "client = Client('{}')")),
    "PRIVATE_KEY": (Maker.private_key, ("What is this?\n{}\nThanks", "key:\n{}")),
    "URL_PASSWORD": (
        lambda m: "p4" + m.text(ALNUM + "!$%", 10),
        ("postgres://admin:{}@db.example.com/x", "git clone https://me:{}@git.example.com/a.git"),
    ),
    "PASSWORD": (
        lambda m: "Pw9" + m.text(ALNUM + "!#%^*", 9),
        (
            "password: {}",
            "my password is {} and it fails",
            "DB_PASSWORD='{}'",
            "pwd={}",
            '"api_secret": "{}"',
        ),
    ),
}


def planted(count: int, seed: int = 11) -> list[Case]:
    """Return so many secrets in their sentences, every kind and sentence in turn."""
    maker = Maker(seed)
    frames = [(kind, make, frame) for kind, (make, all_frames) in KINDS.items() for frame in all_frames]
    out = []
    for number in range(count):
        kind, make, frame = frames[number % len(frames)]
        secret = make(maker)
        out.append((kind, secret, frame.format(secret)))
    return out


def find_word7(text: str) -> Iterator[Span]:
    """A detector as a user would write one."""
    return (Span(*match.span(), "WORD") for match in re.finditer(r"\bword7\b", text))

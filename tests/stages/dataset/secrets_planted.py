"""What redaction must find and what it must leave alone: planted secrets by kind, dresses for them, ordinary lines.

All of it is made up from a seeded generator; no secret was ever valid. Shared by the tests of redaction and by
`benchmarks/redaction.py`, whose table is in the dataset guide.
"""

from __future__ import annotations

import base64
import json
import random
import string
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

from tests.stages.dataset.planted import Maker

LOWER_HEX = "0123456789abcdef"
URL_SAFE = string.ascii_letters + string.digits + "-_"


@dataclass(frozen=True, slots=True)
class Plant:
    """A secret, and the sentence in which people or programs write it."""

    kind: str
    secret: str
    sentence: str


class Planter(Maker):
    """Makes more kinds of values."""

    def hex(self, size: int) -> str:
        return self.text(LOWER_HEX, size)

    def safe(self, size: int) -> str:
        return "a7Q" + self.text(URL_SAFE, size - 4) + "x"

    def base64(self, size: int) -> str:
        return base64.b64encode(self.rng.randbytes(size)).decode()

    def password(self) -> str:
        return (
            self.rng.choice(("Tiger", "sommer", "Lluvia", "neige")) + self.digits(4) + self.rng.choice("!#?*")
        )

    def upper(self, size: int) -> str:
        return self.text(string.ascii_uppercase + string.digits, size)

    def mac(self) -> str:
        return self.rng.choice(":-").join(self.hex(2).upper() for _ in range(6))

    def nhs(self) -> str:
        while True:
            nine = [self.rng.randrange(1, 10) for _ in range(9)]
            check = (11 - sum(d * (10 - n) for n, d in enumerate(nine)) % 11) % 11
            if check < 10:
                text = "".join(map(str, [*nine, check]))
                return self.rng.choice((text, f"{text[:3]} {text[3:6]} {text[6:]}"))

    def cpf(self) -> str:
        digits = [self.rng.randrange(10) for _ in range(9)]
        for size in (9, 10):
            digits.append(sum(d * (size + 1 - n) for n, d in enumerate(digits)) * 10 % 11 % 10)
        text = "".join(map(str, digits))
        return f"{text[:3]}.{text[3:6]}.{text[6:9]}-{text[9:]}"

    def resident_id(self) -> str:
        body = f"110105{self.rng.randint(1960, 1999)}0{self.rng.randint(1, 9)}1{self.rng.randint(0, 9)}{self.digits(3)}"
        weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
        return body + "10X98765432"[sum(int(c) * w for c, w in zip(body, weights, strict=True)) % 11]

    def us_phone(self) -> str:
        return f"{self.rng.randint(201, 989)}-555-0{self.digits(3)}"


Make = Callable[[Planter], str]
KINDS: dict[str, list[tuple[Make, str]]] = {
    "e-mail address": [
        (lambda m: m.email(), "Write to {} please"),
        (lambda m: m.email(), "<{}>"),
        (lambda m: m.email(), "mailto:{}?subject=x"),
        (lambda m: m.email(), "我的邮箱是{}请帮我"),
        (lambda m: m.email(), "メールは{}です"),
        (lambda m: m.email(), "อีเมล{}ครับ"),
        (lambda m: "jörg.müller@beispiel.de", "Meine Adresse {} stimmt"),
        (lambda m: "иван@почта.рф", "пишите на {} сегодня"),
    ],
    "phone, international": [
        (lambda m: m.rng.choice(("+49 30 901820", "+1 (415) 555-0134", "+44 20 7946 0958")), "Call {} now"),
        (lambda m: "+86138" + m.digits(8), "手机{}谢谢"),
        (lambda m: "+1415555" + m.digits(4), "Phone:{}"),
        (lambda m: "0049 30 90" + m.digits(4), "Tel. {} bitte"),
        (lambda m: "+33 6 12 34 56 " + m.digits(2), "mon numéro {} svp"),
        (lambda m: "+91 98765 4" + m.digits(4), "ring {}"),
    ],
    "phone, national": [
        (lambda m: "06 12 34 56 " + m.digits(2), "appelez {} svp"),
        (lambda m: "07700 900" + m.digits(3), "ring {} pls"),
        (lambda m: "020 7946 0" + m.digits(3), "our office, {}, is open"),
        (lambda m: "98765 4" + m.digits(4), "call {} now"),
        (lambda m: "(11) 91234-5" + m.digits(3), "ligue {} ok"),
        (lambda m: "03-1234-5" + m.digits(3), "電話は{}です"),
        (lambda m: "090-1234-5" + m.digits(3), "携帯 {} へ"),
        (lambda m: "1380013" + m.digits(4), "电话{}"),
        (lambda m: "0171 123" + m.digits(4), "Handy {} geht nicht"),
        (lambda m: m.us_phone(), "my number is {}"),
        (lambda m: "415555" + m.digits(4), "phone: {}"),
        (lambda m: "010-1234-5" + m.digits(3), "전화 {} 입니다"),
    ],
    "payment card": [
        (lambda m: m.card(), "My card {} was refused."),
        (lambda m: m.card(), "卡号{}有效"),
        (lambda m: m.card(), "card number: {}"),
        (lambda m: "4111\xa01111\xa01111\xa01111", "card {} please"),
        (lambda m: "3782 822463 10005", "amex {}"),
        (lambda m: "5555555555554444", '{{"card": {}}}'),
        (lambda m: "６０１１１１１１１１１１１１１７", "カード {}"),
    ],
    "IBAN": [
        (lambda m: m.iban(), "Send it to {}."),
        (lambda m: m.iban(), "IBAN: {}"),
        (lambda m: m.iban(), "账户{}已关闭"),
        (lambda m: "DE89\xa03704\xa00044\xa00532\xa00130\xa000", "IBAN {}"),
        (lambda m: "GB29NWBK60161331926819", "to {} today"),
    ],
    "US social security number": [
        (lambda m: m.ssn(), "My SSN is {}."),
        (lambda m: m.ssn(), "身份证SSN:{}号"),
        (lambda m: m.ssn().replace("-", ""), "ssn {}"),
        (lambda m: m.ssn().replace("-", " "), "social {} ok?"),
    ],
    "NHS number": [
        (lambda m: m.nhs(), "NHS number {}"),
        (lambda m: m.nhs(), "NHS no. {} is mine"),
        (lambda m: m.nhs(), "nhs: {}"),
    ],
    "passport number": [
        (lambda m: m.digits(9), "passport number {}"),
        (lambda m: "C01X" + m.digits(5), "Reisepass Nr. {}"),
        (lambda m: "E" + m.digits(8), "护照号码{}"),
        (lambda m: "P" + m.digits(7), "Passport no: {}, valid"),
        (lambda m: "AB" + m.digits(7), "passeport n° {}"),
    ],
    "national id": [
        (lambda m: m.cpf(), "CPF {} ok"),
        (lambda m: m.resident_id(), "身份证{}"),
        (lambda m: m.resident_id(), "ID {} please"),
        (lambda m: "QQ 12 34 56 C".replace("QQ", "AB"), "National Insurance number {}"),
    ],
    "IP address": [
        (lambda m: f"10.{m.rng.randint(1, 250)}.2.3", "服务器{}挂了"),
        (lambda m: f"192.168.{m.rng.randint(1, 250)}.7", "ping {}"),
        (lambda m: f"203.0.113.{m.rng.randint(1, 250)}", "src={} dst=internal"),
        (lambda m: f"198.51.100.{m.rng.randint(1, 250)}", "The server at {} is down."),
        (lambda m: "2001:db8:85a3:8d3:1319:8a2e:370:7348", "host {} up"),
        (lambda m: "fe80::1ff:fe23:4567:890a", "from {} on"),
    ],
    "MAC address": [
        (lambda m: m.mac(), "MAC地址{}的设备"),
        (lambda m: m.mac(), "ether {} up"),
        (lambda m: m.mac(), "device {}."),
    ],
    "AWS access key": [
        (lambda m: "AKIA" + m.upper(16), "aws_access_key_id = {}"),
        (lambda m: "ASIA" + m.upper(16), "my key {} stopped"),
        (lambda m: "AKIA" + m.upper(16), "密钥{}失效"),
    ],
    "AWS secret key": [
        (lambda m: m.mixed(20) + "/" + m.mixed(18) + "+", "aws_secret_access_key = {}"),
        (lambda m: m.mixed(20) + "/" + m.mixed(18) + "+", 'AWS secret access key is "{}"'),
        (lambda m: m.mixed(40), "AKIAABCDEFGHIJKLMNOP / {}"),
    ],
    "AWS session token and signature": [
        (lambda m: m.base64(180), "aws_session_token={}"),
        (lambda m: m.hex(64), "https://b.s3.amazonaws.com/k?X-Amz-Signature={}"),
        (lambda m: m.hex(64), "Authorization: AWS4-HMAC-SHA256 Credential=x/us-east-1, Signature={}"),
    ],
    "Bedrock API key": [
        (lambda m: "ABSK" + m.base64(90), "AWS_BEARER_TOKEN_BEDROCK={}"),
        (lambda m: "bedrock-api-key-" + m.base64(120), "export KEY={}"),
    ],
    "GitHub token": [
        (lambda m: "ghp_" + m.mixed(36), "git clone with {}"),
        (lambda m: "github_pat_" + m.mixed(60), "GITHUB_TOKEN: {}"),
        (lambda m: "ghs_" + m.mixed(36), "令牌{}"),
    ],
    "GitLab token": [
        (lambda m: "glpat-" + m.safe(20), "use {} here"),
        (lambda m: "glrt-" + m.safe(20), "runner {}"),
        (lambda m: "gldt-" + m.safe(20), "deploy token {}"),
    ],
    "Slack token": [
        (lambda m: "xoxb-" + m.digits(12) + "-" + m.mixed(24), "slack {} fails"),
        (lambda m: "https://hooks.slack.com/services/T01ABCDEF/B01ABCDEF/" + m.mixed(20), "post to {}"),
    ],
    "Stripe key": [
        (lambda m: "sk_live_" + m.mixed(24), "STRIPE={}"),
        (lambda m: "rk_test_" + m.mixed(24), "key {}"),
    ],
    "model provider key": [
        (lambda m: "sk-proj-" + m.safe(48), "OPENAI_API_KEY={}"),
        (lambda m: "sk-ant-api03-" + m.safe(60), "client('{}')"),
        (lambda m: "hf_" + m.mixed(34), "login with {}"),
        (lambda m: "gsk_" + m.mixed(52), "groq {}"),
    ],
    "Google key": [
        (lambda m: "AIza" + m.safe(35), "maps {}"),
        (lambda m: "ya29." + m.safe(60), "oauth {}"),
        (lambda m: "GOCSPX-" + m.safe(28), "client_secret: {}"),
    ],
    "npm and PyPI token": [
        (lambda m: "npm_" + m.mixed(36), "//registry.npmjs.org/:_authToken={}"),
        (lambda m: "pypi-" + m.safe(80), "twine {}"),
    ],
    "Azure secret": [
        (lambda m: m.safe(3).replace("-", "a")[:3] + "8Q~" + m.mixed(34), "client secret {}"),
        (lambda m: m.mixed(84) + "/+==", "AccountKey={};x"),
        (lambda m: quote(m.base64(32), safe=""), "https://a.blob.core.windows.net/c?sv=2024&sig={}"),
    ],
    "Databricks, Snowflake": [
        (lambda m: "dapi" + m.hex(32), "databricks {}"),
        (lambda m: "Pw9" + m.mixed(9), "snowflake://kim:{}@acme/db"),
    ],
    "Twilio, SendGrid": [
        (lambda m: "SK" + m.hex(32), "twilio {}"),
        (lambda m: m.hex(32), "TWILIO_AUTH_TOKEN={}"),
        (lambda m: "SG." + m.mixed(22) + "." + m.mixed(43), "mail {}"),
    ],
    "Datadog, Grafana": [
        (lambda m: m.hex(32), "DD_API_KEY={}"),
        (lambda m: "glsa_" + m.mixed(32) + "_" + m.hex(8), "grafana {}"),
        (lambda m: "glc_" + m.base64(60), "GRAFANA={}"),
    ],
    "JWT": [
        (lambda m: m.jwt(), "Decode {} for me"),
        (lambda m: m.jwt(), "cookie {}; path=/"),
        (lambda m: m.jwt(), "令牌{}"),
    ],
    "bearer and basic": [
        (lambda m: m.mixed(40), "Authorization: Bearer {}"),
        (lambda m: m.mixed(32), "curl -H 'Authorization: bearer {}'"),
        (lambda m: base64.b64encode(f"kim:{m.password()}".encode()).decode(), "Authorization: Basic {}"),
    ],
    "private key": [
        (lambda m: m.private_key(), "What is this?\n{}\nThanks"),
        (lambda m: m.private_key(), "key:\n{}"),
    ],
    "password in a URL or command": [
        (lambda m: "p4" + m.mixed(10), "postgres://admin:{}@db.example.com/x"),
        (lambda m: m.password(), "curl -u kim:{} https://a.b"),
        (lambda m: "p4" + m.mixed(10), "redis://:{}@cache:6379/0"),
        (lambda m: m.password(), "mysql --password={} -h db"),
    ],
    "password, English": [
        (lambda m: m.password(), "password: {}"),
        (lambda m: m.password(), "my password is {} and it fails"),
        (lambda m: m.password(), "DB_PASSWORD='{}'"),
        (lambda m: m.password(), '{{"user":"kim","password":"{}"}}'),
        (lambda m: m.password(), "pwd={}"),
        (lambda m: "hunter2hunter2", 'note "password={}" under'),
        (lambda m: m.digits(6), "passcode: {}"),
        (lambda m: "sunshine", "password={}"),
    ],
    "password, German, French, Spanish": [
        (lambda m: m.password(), "Mein Passwort ist {} und geht nicht"),
        (lambda m: m.password(), "Kennwort: {}"),
        (lambda m: m.password(), "mot de passe : {}"),
        (lambda m: m.password(), "mon mdp est {}"),
        (lambda m: m.password(), "la contraseña es {}"),
        (lambda m: m.password(), "clave: {}"),
        (lambda m: m.password(), "senha: {}"),
    ],
    "password, other scripts": [
        (lambda m: m.password(), "密码是{}"),
        (lambda m: m.password(), "密码：{}"),
        (lambda m: m.password(), "パスワードは{}です"),
        (lambda m: m.password(), "пароль: {}"),
        (lambda m: m.password(), "비밀번호는 {}"),
        (lambda m: m.password(), "كلمة المرور: {}"),
    ],
    "token or secret by its name": [
        (lambda m: m.mixed(24), "api_key = '{}'"),
        (lambda m: m.mixed(32), "access token: {}"),
        (lambda m: m.mixed(20), '"client_secret": "{}"'),
        (lambda m: "abcd1234efgh5678", "token: {}"),
        (lambda m: m.hex(32), "secret={}"),
    ],
}


def plants(rounds: int = 3, seed: int = 23) -> list[Plant]:
    """Return every kind in every sentence, so many times."""
    maker = Planter(seed)
    out = []
    for _ in range(rounds):
        for kind, ways in KINDS.items():
            for make, sentence in ways:
                secret = make(maker)
                out.append(Plant(kind, secret, sentence.format(secret)))
    return out


def _escaped(text: str) -> str:
    return "".join(f"\\u{ord(c):04x}" if c in "@.:-+/=_ " else c for c in text)


DRESSES: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in JSON": lambda text: json.dumps({"q": text}),
    "in JSON inside JSON": lambda text: json.dumps({"a": json.dumps({"q": text})}),
    "with \\u escapes": _escaped,
    "with marks of no width": lambda text: (
        text.replace("@", "\u200b@").replace("-", "\u200d-").replace(" ", "\ufeff ")
    ),
    "with no-break spaces": lambda text: text.replace(" ", "\xa0"),
}


def leftover(secret: str, text: str) -> float:
    """Return the longest run of the secret that is still in the text, as a share of it."""
    size = len(secret)
    for length in range(size, 0, -1):
        if any(secret[at : at + length] in text for at in range(size - length + 1)):
            return length / size
    return 0.0


SENTENCES = [
    "Kako da promenim lozinku?",
    "ลืมรหัสผ่าน ทำอย่างไร",
    "Ξέχασα τον κωδικό μου, κωδικός προϊόντος 12345678",
    "парола забравих, какво да правя",
    "it costs $1$ or $2a$ a piece",
    "the reset pin is 4.7 kOhm to ground",
    "the machine needs a login, and the password form is broken",
    "The secret: practice makes perfect",
    "The next token: 'hello world' was chosen",
    "Boarding pass: platinum-lounge at gate 4",
    "Boarding pass: QX7H2K at gate 4",
    "My ski pass: A1234 expired",
    "Use access key: Alt+Shift+P in the editor",
    "upgrade to package version 10.7.31.9 please",
    "read chapter 1.2.3.4 of the manual",
    "cut it to (120) 345 678 mm",
    "see Smith (1998) 123456 for it",
    "part 0123-4567-8901 is on order",
    "basic introductionto1st course",
    "compass: northwest",
    "tracking number 123456789012347 thanks",
    "IMEI 490154203237518 is locked",
    "bypass: enabled",
    "trespass: forbidden zone",
    "Set token: your-token-here in the file",
    "the api_key: string parameter",
    "password = getpass.getpass()",
    "key: value",
    "secret = os.environ['SECRET']",
    "const token = await getToken();",
    "private_key: Path",
    "pwd=$(pwd)",
    "max_tokens: 512000",
    "PASSWORD=${DB_PASSWORD}",
    "token: <YOUR_TOKEN>",
    "password: required",
    "secretKeyRef: name",
    "tokens: 4096",
    "passphrase: string | undefined",
    "if token == previous_token:",
    "pass: bool = False",
    "Please pass: the exam tomorrow",
    "def f(password: str | None = None) -> None:",
    "password: Optional[str] = Field(default=None)",
    "token_type: bearer",
    "The password: it must have 8 characters",
    "She said the secret: love",
    "Passwort vergessen: bitte helfen",
    "clave: la paciencia",
    "git@github.com is the user of the URL, see docs",
    "Sunday 10:30:45, page 12-34-56",
    "ISBN 978-3-16-148410-0 is out of print",
    "chrome 120.0.6099.109 and nginx-1.25.3.1",
    "1,234,567.89 EUR",
    "00 01 02 03 04 05 06 07",
    "from 2026-11-20 to 2026-12-20",
    "The ratio 12:34:56:78 is odd",
    "room 101-202-303",
    "a@b",
    "@property",
    "user@",
    "50%20off",
    "C:\\new\\table\\report.txt",
    "SELECT pass, fail FROM results WHERE pass=1 AND fail=0",
    "Order 302-1234567-1234567 was late",
    "Ticket 1764500000123 is open",
    "{'ts': 1548393672575, 'level': 'info'}",
    "EAN 4006381333931",
    "Invoice 2026-0011-22334455",
    "Steuer 12 345 678 901 Euro",
]


def ordinary_lines(count: int = 2_000, seed: int = 3) -> list[str]:
    """Return technical lines and sentences that hold no secret: ids, hashes, versions, numbers, times, code."""
    rng = random.Random(seed)
    pick, digit = rng.choice, rng.randrange

    def octets() -> str:
        return f"{digit(9)}.{digit(20)}.{digit(20)}.{digit(300)}"

    makers: list[Callable[[], str]] = [
        lambda: f"request {uuid.UUID(int=rng.getrandbits(128))} failed",
        lambda: f"fixed in {rng.getrandbits(160):040x}, see {rng.getrandbits(28):07x}",
        lambda: f"sha256:{rng.getrandbits(256):064x}",
        lambda: f"Where is my order {pick(['ORD-', '#', 'no. ', ''])}{digit(10**7, 10**10)}?",
        lambda: f"Tracking number {digit(10**15, 10**16)} is stuck",
        lambda: f"Order {digit(100, 999)}-{digit(10**6, 10**7)}-{digit(10**6, 10**7)} was late",
        lambda: f"at 2026-11-30T10:{digit(10, 60)}:30.{digit(10**5, 10**6)}Z it broke, run {digit(1000)}",
        lambda: f'{{"ts": {digit(1_540_000_000_000, 1_780_000_000_000)}, "level": "info"}}',
        lambda: f"upgrade to {octets()} of the client",
        lambda: f"{pick(['version', 'release', 'firmware', 'package'])} {octets()} is out",
        lambda: (
            f"ISBN 978-{digit(10)}-{digit(100, 999)}-{digit(10**4, 10**5)}-{digit(10)}, EAN {digit(10**12, 10**13)}"
        ),
        lambda: (
            f"arn:aws:bedrock:us-east-1:123456789012:custom-model/amazon.nova-micro-v1:0:128k/{rng.getrandbits(48):012x}"
        ),
        lambda: f"line {digit(1000)}: self.token = tokens[{digit(9)}]  # key of the pass",
        lambda: f"for i in range({digit(10**6)}): total += {digit(10**4)}.{digit(10**6)} * x[i]",
        lambda: f"IMEI 35{digit(10**12, 10**13)} is locked",
        lambda: f"rows {digit(10**6)}-{digit(10**7)} of {digit(10**8)}, {digit(100)}% done",
        lambda: (
            f"price ${digit(1, 10**4)}.{digit(10, 100)} for {digit(1, 99)} x {digit(100, 999)} x {digit(100, 999)} mm"
        ),
        lambda: f"INFO worker-{digit(99)} took {digit(10**4)} ms at 0x{rng.getrandbits(64):016x}",
        lambda: f"GET /api/v{digit(9)}/items/{digit(10**9)}?page={digit(99)}&key=name HTTP/1.1",
        lambda: f"{pick(SENTENCES)}",
    ]
    return [makers[n % len(makers)]() for n in range(count)]


def dressed(plant: Plant) -> Iterator[tuple[str, str]]:
    """Yield the names of the dresses and the sentence in each."""
    for name, dress in DRESSES.items():
        yield name, dress(plant.sentence)

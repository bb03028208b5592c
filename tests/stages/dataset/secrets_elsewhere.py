"""A second set of planted secrets, made after the patterns were written: other vendors, carriers, languages and formats.

Forms of tokens follow what their vendors publish of them (prefixes, alphabets, lengths); carriers are the files that hold
such values. All values are made up from a seeded generator and were never valid. Used by the tests of redaction and by
`benchmarks/redaction.py`.
"""

from __future__ import annotations

import string

from tests.stages.dataset.secrets_planted import Make, Plant, Planter

LOWER = string.ascii_lowercase + string.digits


def _uuid(m: Planter) -> str:
    return f"{m.hex(8)}-{m.hex(4)}-4{m.hex(3)}-a{m.hex(3)}-{m.hex(12)}"


def _word(m: Planter) -> str:
    return (
        m.rng.choice(("Kestrel", "montagne", "Zwiebel", "girasol", "Wolke"))
        + m.digits(3)
        + m.rng.choice("!#%&")
    )


TOKENS: dict[str, list[Make]] = {
    "model vendors": [
        lambda m: "sk-ant-api03-" + m.safe(93) + "AA",
        lambda m: "sk-ant-admin01-" + m.safe(93) + "AA",
        lambda m: "sk-proj-" + m.safe(74) + "T3BlbkFJ" + m.safe(74),
        lambda m: "sk-svcacct-" + m.safe(60) + "T3BlbkFJ" + m.safe(60),
        lambda m: "sk-or-v1-" + m.hex(64),
        lambda m: "sk-lf-" + m.rng.choice(["a1b2c3d4"]) + f"-{m.hex(4)}-4{m.hex(3)}-a{m.hex(3)}-{m.hex(12)}",
        lambda m: "lsv2_pt_" + m.hex(32) + "_" + m.hex(10),
        lambda m: "lsv2_sk_" + m.hex(32) + "_" + m.hex(10),
        lambda m: "fw_" + m.mixed(24),
        lambda m: "tgp_v1_" + m.safe(43),
        lambda m: "jina_" + m.hex(32) + m.safe(24),
        lambda m: "csk-" + m.text(LOWER, 48),
        lambda m: "pcsk_" + m.mixed(6) + "_" + m.mixed(63),
    ],
    "code hosts and builds": [
        lambda m: "ATBB" + m.mixed(32),
        lambda m: "CCIPAT_" + m.mixed(22) + "_" + m.hex(40),
        lambda m: "bkua_" + m.hex(40),
        lambda m: "glpat-" + m.safe(27) + ".01." + m.text(LOWER, 9),
        lambda m: "glrtr-" + m.safe(20),
        lambda m: "AKCp" + m.mixed(69),
        lambda m: "cmVmdGtu" + m.mixed(56),
        lambda m: "oy2" + m.text(LOWER, 43),
        lambda m: "CLOJARS_" + m.text(LOWER, 60),
        lambda m: "cio" + m.mixed(32),
        lambda m: "squ_" + m.hex(40),
        lambda m: "sqp_" + m.hex(40),
        lambda m: "rnd_" + m.mixed(28),
        lambda m: "nfp_" + m.mixed(36),
        lambda m: "pnu_" + m.text(LOWER, 36),
        lambda m: "HRKU-AA" + m.safe(58),
    ],
    "clouds and hosts": [
        lambda m: "LTAI" + m.mixed(20),
        lambda m: "AKID" + m.mixed(32),
        lambda m: "v1.0-" + m.hex(24) + "-" + m.hex(146),
        lambda m: "fm2_" + m.base64(96),
        lambda m: "y0_" + m.safe(55),
        lambda m: "AQVN" + m.safe(36),
        lambda m: m.mixed(14) + ".atlasv1." + m.safe(64),
        lambda m: "pscale_tkn_" + m.safe(43),
        lambda m: "pscale_pw_" + m.safe(43),
        lambda m: "napi_" + m.text(LOWER, 64),
        lambda m: "mdb_sa_sk_" + m.safe(40),
        lambda m: "1//0" + m.safe(60),
        lambda m: "xkeysib-" + m.hex(64) + "-" + m.mixed(16),
        lambda m: "SCW" + m.upper(17),
        lambda m: m.safe(33) + "AzFu" + m.safe(8) + "==",
    ],
    "watching and mail": [
        lambda m: "dt0c01." + m.upper(24) + "." + m.upper(64),
        lambda m: "hcaik_01" + m.text(LOWER, 56),
        lambda m: "NRJS-" + m.hex(19),
        lambda m: "NRII-" + m.safe(32),
        lambda m: "essu_" + m.safe(60),
        lambda m: "phc_" + m.mixed(43),
        lambda m: "phx_" + m.mixed(43),
        lambda m: m.hex(32) + "-us" + m.digits(2),
        lambda m: "re_" + m.mixed(8) + "_" + m.mixed(24),
        lambda m: "sgp_" + m.hex(40),
        lambda m: "sdk-" + _uuid(m),
    ],
    "work and money": [
        lambda m: "pat" + m.mixed(14) + "." + m.hex(64),
        lambda m: "2/" + m.digits(16) + "/" + m.digits(16) + ":" + m.hex(32),
        lambda m: "secret_" + m.mixed(43),
        lambda m: "pat-na1-" + _uuid(m),
        lambda m: "tfp_" + m.safe(44) + "_" + m.safe(14),
        lambda m: "sl.u." + m.safe(130),
        lambda m: "EAAA" + "El" + m.safe(58),
        lambda m: "access_token$production$" + m.text(LOWER, 16) + "$" + m.hex(32),
        lambda m: "access-production-" + _uuid(m),
        lambda m: "rzp_live_" + m.mixed(14),
        lambda m: "shippo_live_" + m.hex(40),
        lambda m: "duffel_live_" + m.safe(43),
        lambda m: "EZAK" + m.mixed(54),
        lambda m: "FLWSECK-" + m.hex(32) + "-X",
        lambda m: "sk.eyJ1" + m.mixed(60) + "." + m.mixed(22),
        lambda m: "oauth:" + m.text(LOWER, 30),
        lambda m: "00D" + m.mixed(12) + "!" + m.mixed(96),
        lambda m: "xoxe.xoxp-1-" + m.mixed(146),
    ],
}
CARRIERS = (
    "{}",
    "use {} for it",
    'export VENDOR="{}"',
    "vendor: {}",
    '{{"vendor": "{}"}}',
    "トークンは{}です",
    "мой ключ {} не работает",
    "| key | {} |",
)

VALUES: dict[str, list[tuple[Make, str]]] = {
    "password in a file": [
        (_word, "spring.datasource.password={}"),
        (_word, "  password: {}"),
        (_word, "<password>{}</password>"),
        (_word, '<add key="DbPassword" value="{}" />'),
        (_word, "define('DB_PASSWORD', '{}');"),
        (_word, "'password' => '{}',"),
        (_word, "machine api.example.com login bob password {}"),
        (_word, "requirepass {}"),
        (_word, "Server=db;Database=x;User Id=sa;Password={};Encrypt=true"),
        (_word, "jdbc:postgresql://db:5432/app?user=sa&password={}"),
        (_word, "host=db user=app password={} dbname=x"),
        (_word, "CREATE USER app IDENTIFIED BY '{}';"),
        (_word, "ALTER ROLE app WITH PASSWORD '{}';"),
        (_word, "redis-cli -h cache -a {} ping"),
        (_word, "PGPASSWORD={} psql -h db"),
        (_word, "net use Z: \\\\srv\\share /user:bob {}"),
        (_word, "amqp://guest:{}@mq:5672/"),
        (_word, "mongodb+srv://bob:{}@cluster0.example.net/x"),
        (_word, "ansible_become_pass: {}"),
        (_word, "$env:SMTP_PASSWORD = '{}'"),
        (_word, '"passwd": "{}"'),
        (_word, "sqlplus scott/{}@orcl"),
        (_word, "htpasswd -b .htpasswd bob {}"),
        (_word, 'String pwd = "{}";'),
    ],
    "password in a sentence": [
        (_word, "la mia password è {} e non va"),
        (_word, "minha senha é {}, ajuda"),
        (_word, "moje hasło to {}, pomocy"),
        (_word, "şifrem {} ama giremiyorum"),
        (_word, "mitt lösenord är {} men"),
        (_word, "mijn wachtwoord is {} maar"),
        (_word, "parola mea este {} si"),
        (_word, "mật khẩu của tôi là {}"),
        (_word, "비밀번호는 {} 입니다"),
        (_word, "パスワードは「{}」です"),
        (_word, "我的密码是{}请重置"),
        (_word, "मेरा पासवर्ड {} है"),
        (_word, "пароль от почты: {}"),
        (_word, "كلمة المرور: {}"),
        (_word, "creds are bob / {}"),
        (_word, "login: bob pw: {}"),
        (_word, "username bob, password {} does not work"),
        (_word, "I changed the passcode to {} yesterday"),
    ],
    "password in more scripts": [
        (_word, "รหัสผ่าน: {}"),
        (_word, "รหัสผ่านของฉันคือ {}"),
        (_word, "পাসওয়ার্ড: {}"),
        (_word, "கடவுச்சொல்: {}"),
        (_word, "رمز عبور: {}"),
        (_word, "پاس ورڈ {}"),
        (_word, "κωδικός: {}"),
        (_word, "парола: {}"),
        (_word, "moja lozinka je {}"),
        (_word, "geslo je {}"),
        (lambda m: m.digits(4), "my PIN is {}."),
    ],
    "access in files of accounts": [
        (lambda m: "$apr1$" + m.mixed(8) + "$" + m.mixed(22), "bob:{}"),
        (lambda m: "$2y$10$" + m.mixed(53), "bob:{}:x"),
        (lambda m: "$6$rounds=5000$" + m.mixed(16) + "$" + m.mixed(86), "root:{}:19000:0:99999"),
        (lambda m: "$argon2id$v=19$m=65536,t=3,p=4$" + m.mixed(22) + "$" + m.mixed(43), "hash: {}"),
        (_word, "machine api.example.com login bob password {}"),
        (lambda m: m.mixed(12), "WIFI:T:WPA;S:home;P:{};;"),
        (lambda m: "MT" + m.mixed(24) + "." + m.mixed(6) + "." + m.mixed(38), "client.run('{}')"),
    ],
    "secret by its name": [
        (lambda m: m.hex(32), "TWILIO_AUTH_TOKEN={}"),
        (lambda m: m.hex(32), "DD_API_KEY: {}"),
        (lambda m: m.hex(40), "WANDB_API_KEY={}"),
        (lambda m: m.mixed(40), "COHERE_API_KEY={}"),
        (lambda m: m.mixed(40), "CF_API_TOKEN={}"),
        (lambda m: m.mixed(32), "X-Api-Key: {}"),
        (lambda m: m.mixed(32), "curl -H 'apikey: {}' https://api.example.com"),
        (lambda m: m.mixed(32), "https://api.example.com/v1?api_key={}"),
        (lambda m: m.mixed(32), "https://api.example.com/v1?access_token={}&x=1"),
        (lambda m: m.base64(64), "AccountName=acme;AccountKey={};EndpointSuffix=core.windows.net"),
        (lambda m: m.base64(32), "SharedAccessKeyName=root;SharedAccessKey={}"),
        (lambda m: m.base64(32), "PrivateKey = {}"),
        (lambda m: m.mixed(40), "client_secret={}&grant_type=client_credentials"),
        (lambda m: m.mixed(36), "//registry.npmjs.org/:_authToken={}"),
        (lambda m: m.base64(30), '"auth": "{}"'),
        (lambda m: m.mixed(64), "Cookie: sessionid={}; theme=dark"),
        (lambda m: m.mixed(42), "Authorization: ApiKey {}"),
        (lambda m: "00" + m.safe(40), "Authorization: SSWS {}"),
        (lambda m: m.hex(32), "https://{}@o123.ingest.sentry.io/456"),
        (lambda m: m.mixed(24), "SECRET_KEY_BASE={}"),
        (lambda m: m.mixed(24), "webhook_secret = \"{}\""),
        (lambda m: m.mixed(32), "mistral key: {}"),
        (lambda m: m.base64(48), "aws_session_token = {}"),
        (lambda m: "$6$" + m.mixed(8) + "$" + m.mixed(86), "root:{}:19000:0:99999:7:::"),
        (lambda m: "$2b$12$" + m.mixed(53), "password_hash: {}"),
    ],
    "national id of other countries": [
        (lambda m: f"{m.digits(6)[:0]}{_verhoeff(m)}", "My Aadhaar is {}"),
        (lambda m: "RSSMRA" + m.digits(2) + "A" + m.digits(2) + "H501" + "U", "codice fiscale {}"),
        (lambda m: _dni(m), "mi DNI es {}"),
        (lambda m: "X" + _dni(m, 7), "NIE {}"),
        (lambda m: _pesel(m), "PESEL: {}"),
        (lambda m: "9" + m.digits(1) + "0101-1" + m.digits(6), "주민등록번호 {}"),
        (lambda m: "19850101-" + m.digits(4), "personnummer {}"),
        (lambda m: _sin(m), "my SIN is {}"),
        (lambda m: _cnpj(m), "CNPJ {}"),
        (lambda m: "1 85 05 78 006 " + m.digits(3) + " " + m.digits(2), "numéro de sécurité sociale {}"),
        (lambda m: "65 170839 J 00" + m.digits(1), "Rentenversicherungsnummer {}"),
        (lambda m: m.digits(4) + " " + m.digits(4) + " " + m.digits(4), "マイナンバーは{}です"),
    ],
}  # fmt: skip


def _verhoeff(m: Planter) -> str:
    d = "".join(m.rng.choice("23456789") for _ in range(12))
    return f"{d[:4]} {d[4:8]} {d[8:]}"


def _dni(m: Planter, size: int = 8) -> str:
    number = m.digits(size)
    return number + "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23]


def _pesel(m: Planter) -> str:
    body = "850512" + m.digits(4)
    return body + str(
        -sum(int(d) * w for d, w in zip(body, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3), strict=True)) % 10
    )


def _sin(m: Planter) -> str:
    while True:
        number = m.rng.choice("1245679") + m.digits(8)
        doubled = [int(d) * (1 + n % 2) for n, d in enumerate(number)]
        if sum(d - 9 * (d > 9) for d in doubled) % 10 == 0:
            return f"{number[:3]}-{number[3:6]}-{number[6:]}"


def _cnpj(m: Planter) -> str:
    number = m.digits(8) + "0001"
    for weights in ((5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2), (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)):
        rest = sum(int(d) * w for d, w in zip(number, weights, strict=True)) % 11
        number += str(0 if rest < 2 else 11 - rest)
    return f"{number[:2]}.{number[2:5]}.{number[5:8]}/{number[8:12]}-{number[12:]}"


def plants_elsewhere(rounds: int = 2, seed: int = 41) -> list[Plant]:
    """Return every token in several carriers, and every value in its own, so many times."""
    maker = Planter(seed)
    out = []
    for turn in range(rounds):
        for kind, makers in TOKENS.items():
            for number, make in enumerate(makers):
                secret = make(maker)
                carrier = CARRIERS[(number * rounds + turn) % len(CARRIERS)]
                out.append(Plant(kind, secret, carrier.format(secret)))
        for kind, ways in VALUES.items():
            for make, sentence in ways:
                secret = make(maker)
                out.append(Plant(kind, secret, sentence.format(secret)))
    return out

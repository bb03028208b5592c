"""Secrets and personal identifiers that are known by their form: a text in, the stretches of it to hide out.

Takes a text, hands on `Span`s. Standard library only; why the patterns are ours: docs/decisions/redaction.md.

Most texts hold nothing to hide, so every pattern is tried only where it can match: at certain words, in stretches of
digits, or at least only in texts that hold a certain word. Time is linear in the text, whatever it holds: a pattern is
tried at a place in a bounded number of steps, since its repeats are bounded; one that may run on is not tried again
inside what it matched; and one that needs an end far away looks for it once (`to_the_end`).

Patterns read the plain form of a text (`dressed.plain_form`) and, where it is dressed, what is beneath; so their digits are
ASCII, and letters of other scripts beside a number do not hide it. What matched is looked at again by `known_forms`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from airflow_distill.stages.dataset.dressed import views_of
from airflow_distill.stages.dataset.known_forms import (
    Accept,
    is_address,
    is_called,
    is_card,
    is_cpf,
    is_credential,
    is_drawn_key,
    is_iban,
    is_ip,
    is_nhs,
    is_password,
    is_phone,
    is_resident_id,
    is_said_password,
    is_ssn,
    is_written_password,
    looks_mixed,
    looks_random,
)
from airflow_distill.stages.dataset.places import (
    BLOCK,
    BY_WORDS,
    Needs,
    Search,
    Text,
    at_addresses,
    at_letters_and_digits,
    at_names_of_keys,
    at_tokens,
    at_words,
    beside_tokens,
    in_numbers,
    in_text,
    in_texts_with,
    is_prose,
    to_the_end,
    with_assignment,
    with_digits,
    with_hexadecimal,
    with_long_ip,
    with_mac,
    with_mark,
    with_other_letters,
    with_stretches,
    with_token,
    with_unlike_marks,
)
from airflow_distill.stages.dataset.vendor_tokens import FORMS
from airflow_distill.stages.dataset.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of text to hide: `text[start:end]`, and what it is, such as `EMAIL`."""

    start: int
    end: int
    kind: str


Detector = Callable[[str], Iterable[Span]]


@dataclass(frozen=True, slots=True)
class Pattern:
    """One kind of secret: words that lead to it, the pattern, a last check of what matched, and where to look.

    `needs` says whether a text can hold it at all. The named group that matched is what gets hidden; the whole match when
    there is none.
    """

    kind: str
    words: tuple[str, ...]
    pattern: re.Pattern[str]
    accept: Accept | None = None
    search: Search = in_texts_with
    needs: Needs = field(kw_only=True)

    def find(self, text: Text) -> Iterator[Span]:
        """Yield the spans of this kind."""
        for match in self.search(self.pattern, self.words, text):
            if match is None:
                continue
            group = match.lastgroup or ""
            if self.accept is None or self.accept(match, group):
                start, end = match.span(group or 0)
                yield Span(start, end, self.kind)


_KEY_OF = "|".join(
    rf"(?<={word}{gap})"
    for word in (
        "api",
        "access",
        "account",
        "private",
        "secret",
        "auth",
        "app",
        "encryption",
        "signing",
        "storage",
    )
    for gap in ("", "[ _-]", "[ _-]{2}")
)
_STRONG = (
    r"pass(?:word|wd|phrase|code)?|passwort|pwd|kennwort|mot de passe|mdp|contrase[ñn]a|clave|senha"
    r"|wachtwoord|parola|has[łl]o"
    r"|pin(?=[:=])|(?<![A-Za-z])pw(?=[:=])"
)
_NAMED = rf"(?P<name>{_STRONG}|secret|token(?: de \w{{1,12}})?|(?:{_KEY_OF})key(?:_base)?|cl[ée] api|api-schl[üu]ssel)"
_ASSIGNED = (
    r"[\"'`]?\s{0,3}(?:=>|:=|[:=](?![=:])|>(?=[^\s<]))\s{0,3}"
    r"(?:\"(?P<q>(?:[^\"\\\n]|\\.){4,})\"|'(?P<s>(?:[^'\\\n]|\\.){4,})'"
    r"|(?P<v>(?:[^\s\"'`,;<>\[\]{}()\\]|\\(?![\"'nrtu\\/])){3,}(?:[^\s\"'`,;<>\[\]{}()\\.:]|(?<=[^\s])\\(?![\"'nrtu\\/]))))"
)
_OTHER_STRONG = (
    "пароль|密码|密碼|口令|パスワード|暗証番号|비밀번호|암호|şifre|lösenord|salasana|heslo|סיסמה"
    "|كلمة المرور|كلمة السر|पासवर्ड|mật khẩu|kata sandi|contraseña|hasło"
    "|รหัสผ่าน|পাসওয়ার্ড|கடவுச்சொல்|రహస్యపదం|رمز عبور|گذرواژه|پاس ورڈ|κωδικός|парола|лозинка|סיסמא|პაროლი|գաղտնաբառ"
    "|ລະຫັດຜ່ານ|ពាក្យសម្ងាត់|စကားဝှက်|මුරපදය"
)
_FIRST = {
    "API_KEY": (
        r"sk-(?:[a-z]{1,10}-){0,2}[A-Za-z0-9_-]{20,}",
        r"[srp]k_(?:live"
        r"|test)_[A-Za-z0-9]{16,}",
        r"gh[pousr]_[A-Za-z0-9]{30,}",
        r"github_pat_[A-Za-z0-9_]{40,}",
        r"gl(?:pat|rt|dt|cbt|ptt|ft|soat|imt|agent|ffct"
        r"|oas)-[A-Za-z0-9_.-]{20,}",
        r"xox[abceoprs]-[A-Za-z0-9-]{10,}",
        r"xapp-[A-Za-z0-9-]{10,}",
        r"AIza[A-Za-z0-9_-]{35}",
        r"ya29\.[A-Za-z0-9_-]{20,}",
        r"npm_[A-Za-z0-9]{36}",
        r"pypi-[A-Za-z0-9_-]{40,}",
        r"SG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,}",
        r"hf_[A-Za-z0-9]{30,}",
        r"do[op]_v1_[a-f0-9]{64}",
        r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}",
        r"sq0[a-z]{3}-[A-Za-z0-9_-]{22,}",
        r"key-[a-f0-9]{32}",
        r"dapi[a-f0-9]{32}(?:-\d)?",
        r"dose[a-f0-9]{32}",
        r"hv[sbr]\.[A-Za-z0-9_-]{24,}",
        r"nvapi-[A-Za-z0-9_-]{40,}",
        r"ABSK[A-Za-z0-9+/=]{60,}",
        r"bedrock-api-key-[A-Za-z0-9+/=_-]{20,}",
        r"whsec_[A-Za-z0-9+/=]{20,}",
        r"GOCSPX-[A-Za-z0-9_-]{20,}",
        r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{20,}",
        r"glsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}",
        r"glc_[A-Za-z0-9+/=]{32,}",
        r"gsk_[A-Za-z0-9]{32,}",
        r"xai-[A-Za-z0-9]{40,}",
        r"r8_[A-Za-z0-9]{30,}",
        r"pplx-[A-Za-z0-9]{32,}",
        r"ATATT3[A-Za-z0-9_=-]{60,}",
        r"ATCTT3[A-Za-z0-9_=-]{60,}",
        r"sntrys_[A-Za-z0-9+/=_-]{40,}",
        r"sntryu_[a-f0-9]{40,}",
        r"lin_api_[A-Za-z0-9]{32,}",
        r"ntn_[A-Za-z0-9]{40,}",
        r"figd_[A-Za-z0-9_-]{36,}",
        r"NRAK-[A-Z0-9]{27}",
        r"PMAK-[a-f0-9]{24}-[a-f0-9]{34}",
        r"sbp_[a-f0-9]{40}",
        r"rubygems_[a-f0-9]{48}",
        r"AGE-SECRET-KEY-1[A-Z0-9]{58}",
        r"EAA[A-Za-z0-9]{60,}",
        r"dp\.(?:pt|st"
        r"|ct)\.[A-Za-z0-9._-]{36,}",
        r"pul-[a-f0-9]{40}",
        r"CFPAT-[A-Za-z0-9_-]{40,}",
        r"tskey-[a-z]{2,8}-[A-Za-z0-9-]{16,}",
        r"ops_eyJ[A-Za-z0-9_=-]{40,}",
        r"hooks\.slack\.com/services/[A-Za-z0-9/]{20,}",
        r"discord(?:app)?\.com/api/webhooks/\d{17,20}/[A-Za-z0-9_-]{40,}",
    )
}
_KEY_WORDS = (
    "sk-",
    "sk_",
    "pk_",
    "rk_",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "glrt-",
    "gldt-",
    "glcbt-",
    "glptt-",
    "glft-",
    "glsoat-",
    "glimt-",
    "glagent-",
    "glffct-",
    "gloas-",
    "xox",
    "xapp-",
    "aiza",
    "ya29.",
    "npm_",
    "pypi-",
    "sg.",
    "hf_",
    "dop_v1_",
    "doo_v1_",
    "shpat_",
    "shpca_",
    "shppa_",
    "shpss_",
    "sq0",
    "key-",
    "dapi",
    "dose",
    "hvs.",
    "hvb.",
    "hvr.",
    "nvapi-",
    "absk",
    "bedrock-api-key-",
    "whsec_",
    "gocspx-",
    "dckr_",
    "glsa_",
    "glc_",
    "gsk_",
    "xai-",
    "r8_",
    "pplx-",
    "atatt3",
    "atctt3",
    "sntrys_",
    "sntryu_",
    "lin_api_",
    "ntn_",
    "figd_",
    "nrak-",
    "pmak-",
    "sbp_",
    "rubygems_",
    "age-secret-key-",
    "eaa",
    "dp.",
    "pul-",
    "cfpat-",
    "tskey-",
    "ops_eyj",
    "hooks.slack.com",
    "discord",
)
_CALL = (
    r"(?:tele)?phone(?: (?:no|number|nr))?|tel|mobile|cell(?:phone)?|call(?: (?:me|us))?(?: (?:at|on))?"
    r"|ring|whatsapp|fax|sms|text me(?: at)?"
    r"|telefon|handy|téléphone|portable|appelez|teléfono|telefone|ligue|telefono|cellulare|телефон|电话|電話"
    r"|手机|手機|전화|هاتف|اتصل|फ़ोन|फोन"
)

_CALL_FIRST = "phone tel mobile cell call ring whatsapp fax sms text handy portable appelez ligue телефон"
_CALL_WORDS = (*_CALL_FIRST.split(), "电话", "電話", "手机", "手機", "전화", "هاتف", "اتصل", "फ़ोन", "फोन")

_ID_WORDS = (
    "aadhaar", "aadhar", "आधार", "codice fiscale", "dni", "nie", "nif", "pesel", "주민등록번호", "주민번호", "personnummer",
    "fødselsnummer", "henkilötunnus", "cpr", "bsn", "burgerservicenummer", "my sin", "sin number", "social insurance",
    "tfn", "tax file", "curp", "rfc", "rut", "sécurité sociale", "securite sociale", "numéro insee", "sécu",
    "rentenversicherungsnummer", "sozialversicherungsnummer", "steuer-id", "steueridentifikationsnummer", "マイナンバー",
    "個人番号", "tc kimlik", "снилс", "инн", "nric", "身份证", "身分證",
)  # fmt: skip
_ID_NAME = "|".join(_ID_WORDS)
_ID_NUMBER = (
    r"(?<![A-Za-z0-9])(?:"
    r"[A-Z]{6}[0-9LMNPQRSTUV]{2}[A-EHLMPRST][0-9LMNPQRSTUV]{2}[A-Z][0-9LMNPQRSTUV]{3}[A-Z]"  # Italy
    r"|[A-Z]{4}[0-9]{6}[A-Z]{6}[A-Z0-9][0-9]"  # Mexico
    r"|[12](?:[ .]?[0-9]{2}){3}(?:[ .]?[0-9]{3}){2}(?:[ .]?[0-9]{2})?"  # France
    r"|[0-9]{2} ?[0-9]{6} ?[A-Z] ?[0-9]{3}"  # Germany's pensions
    r"|[XYZ]-?[0-9]{7}-?[A-Z]|[0-9]{8}-?[A-Z]"  # Spain
    r"|[STFGM][0-9]{7}[A-Z]|[A-Z][12][0-9]{8}"  # Singapore, Taiwan
    r"|[0-9]{1,2}\.?[0-9]{3}\.?[0-9]{3}-[0-9K]"  # Chile
    r"|[0-9]{6,8}[-+][0-9]{3,4}[A-Z]?|[0-9]{6}-?[1-8][0-9]{6}"  # Nordic countries, Korea
    r"|[0-9]{2,4}(?:[ .-][0-9]{2,4}){2,4}|[0-9]{9,12})"
)
_NAMED_KEY = (
    r"(?:key|token|secret|credential)s?|ключ|токен|トークン|キー|토큰|(?<![가-힣])키|密钥|密鑰|令牌|clé|jeton|schlüssel"
    r"|llave|chave|chiave|klucz|anahtar|sleutel|nyckel|khóa|कुंजी|مفتاح"
)
_NAMED_KEYS = (
    "key", "token", "secret", "credential", "ключ", "токен", "トークン", "キー", "토큰", "키", "密钥", "密鑰", "令牌",
    "clé",
    "jeton", "schlüssel", "llave", "chave", "chiave", "klucz", "anahtar", "sleutel", "nyckel", "khóa", "कुंजी", "مفتاح",
)  # fmt: skip

PATTERNS: tuple[Pattern, ...] = (
    Pattern("PRIVATE_KEY", ("private key",), BLOCK, search=to_the_end, needs=with_mark(b"-----")),
    Pattern(
        "JWT",
        ("eyj",),
        re.compile(
            r"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{8,512}+\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?"
            r"|(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{8,512}+\.\.[A-Za-z0-9_.-]{20,}"
            r"|(?<![A-Za-z0-9])eyJrIjoi[A-Za-z0-9_=-]{30,}"
        ),
        search=at_tokens,
        needs=with_token(15),
    ),
    Pattern(
        "AWS_ACCESS_KEY",
        ("akia", "asia", "abia", "acca"),
        re.compile(r"(?<![A-Za-z0-9])(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
        search=at_tokens,
        needs=with_token(20),
    ),
    Pattern(
        "AWS_SECRET_KEY",
        ("aws", "secret"),
        re.compile(
            r"(?i:aws|secret)(?!\w{41})"
            r"(?:[\w .-]{0,40}+[\"'`]?\s{0,3}(?:[:=]|=>|is\b(?<!\wis))|[\w .-]{0,40}is\b(?<!\wis))"
            r"\s{0,3}[\"'`]?(?P<v>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+])"
        ),
        looks_mixed,
        at_words,
        needs=with_token(40),
    ),
    Pattern(
        # Beside an access key id, forty random characters are its secret, whatever is written between.
        "AWS_SECRET_KEY",
        ("akia", "asia"),
        re.compile(r"(?<![A-Za-z0-9/+=])(?![0-9a-f]{40}|[0-9A-F]{40})[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])"),
        looks_mixed,
        beside_tokens,
        needs=with_token(40),
    ),
    Pattern(
        "API_KEY",
        _KEY_WORDS,
        re.compile(rf"(?<![A-Za-z0-9_])(?:{'|'.join(_FIRST['API_KEY'])})"),
        search=at_tokens,
        needs=with_token(15),
    ),
    Pattern(
        "API_KEY",
        tuple(dict.fromkeys(word for word, _ in FORMS)),
        re.compile(rf"(?:(?<![A-Za-z0-9_])|(?=\.atlas))(?:{'|'.join(form for _, form in FORMS)})"),
        search=at_tokens,
        needs=with_token(18),
    ),
    Pattern(
        # Mailchimp's keys end in their data centre.
        "API_KEY",
        (),
        re.compile(r"(?<![A-Za-z0-9_-])[a-f0-9]{32}-us[0-9]{1,2}(?![A-Za-z0-9])"),
        search=in_text,
        needs=with_hexadecimal,
    ),
    Pattern(
        # Azure's keys of functions, search, registries and stores carry their service near the end.
        "AZURE_SECRET",
        ("azfu", "azse", "+acr", "acdb", "+ast", "azca"),
        re.compile(
            r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{33,76}(?:AzFu|AzSe|\+ACR|ACDb|\+ASt|AzCa)[A-Za-z0-9+/_-]{4,10}={0,2}"
        ),
        looks_random,
        beside_tokens,
        needs=with_token(38),
    ),
    Pattern(
        # Passwords as systems store them, and Basic credentials of registries.
        "PASSWORD",
        (),
        re.compile(r"\$(?:1|2[abxy]|5|6|7|y|argon2i?d?|pbkdf2-sha\d{3})\$[./A-Za-z0-9$=,+-]{20,256}"),
        search=in_text,
        needs=with_mark(b"$"),
    ),
    Pattern(
        "BASIC_AUTH",
        ("auth",),
        re.compile(
            r"(?<=[\"_])auth\"?\s{0,3}[:=]\s{0,3}\"?(?P<v>[A-Za-z0-9+/]{16,}={0,2})(?![A-Za-z0-9+/_.-])"
        ),
        looks_random,
        at_words,
        needs=with_assignment,
    ),
    Pattern(
        "SESSION",
        ("session", "sess", "sid", "jsessionid", "phpsessid", "csrf", "xsrf"),
        re.compile(
            r"(?i)(?:session(?:_?id|[_-]?token)?|sess(?:_?id)?|sid|jsessionid|phpsessid|csrf[_-]?token|xsrf[_-]?token)"
            r"=(?P<v>[A-Za-z0-9%._+/-]{20,512}={0,2})"
        ),
        looks_random,
        at_words,
        needs=with_token(20),
    ),
    Pattern(
        # A key or token by its name in any language, a little apart from what looks drawn.
        "API_KEY",
        _NAMED_KEYS,
        re.compile(
            rf"(?i)(?:{_NAMED_KEY})[\"'`]?\s{{0,3}}(?:[:=|]|=>|は|是|为|為|은|는|이|가|\bis|\best|\bes|\bist|\bé|\bè|\bto)?"
            r"\s{0,3}[\"'`「]?(?P<v>[A-Za-z0-9_-]{20,256}+)(?![A-Za-z0-9_./-])"
        ),
        is_drawn_key,
        at_names_of_keys,
        needs=with_token(20),
    ),
    Pattern(
        # Twilio's keys and accounts.
        "API_KEY",
        (),
        re.compile(r"(?<![A-Za-z0-9_])(?:SK|AC)[a-f0-9]{32}(?![A-Za-z0-9])"),
        search=in_text,
        needs=with_hexadecimal,
    ),
    Pattern(
        # Discord's bots: an id, a time and a signature.
        "API_KEY",
        (),
        re.compile(
            r"(?<![A-Za-z0-9_.-])[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40}(?![A-Za-z0-9_.-])"
        ),
        search=in_text,
        needs=with_token(58),
    ),
    Pattern(
        # Telegram's bots.
        "API_KEY",
        (":aa",),
        re.compile(r"(?<=[0-9]{8}):(?P<v>AA[A-Za-z0-9_-]{33})(?![A-Za-z0-9_-])"),
        search=at_tokens,
        needs=with_token(35),
    ),
    Pattern(
        "AZURE_SECRET",
        ("q~",),
        re.compile(r"(?<=[A-Za-z0-9_~.-]{4})Q~[A-Za-z0-9_~.-]{31,34}(?![A-Za-z0-9_~-])"),
        search=at_tokens,
        needs=with_token(38),
    ),
    Pattern(
        "AZURE_SECRET",
        ("==",),
        re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{86}==(?![A-Za-z0-9+/=])"),
        looks_random,
        beside_tokens,
        needs=with_token(88),
    ),
    Pattern(
        "SIGNATURE",
        ("sig=", "signature="),
        re.compile(r"(?i)sig(?:nature)?=(?P<v>[A-Za-z0-9%+/_-]{20,}={0,2})"),
        looks_random,
        at_tokens,
        needs=with_token(24),
    ),
    Pattern(
        "BEARER_TOKEN",
        ("bearer", "basic", "token", "ssws", "apikey"),
        re.compile(
            r"(?<![A-Za-z0-9])(?i:bearer|basic|token|ssws|apikey)\s{1,4}(?P<v>[A-Za-z0-9._~+/-]{12,}={0,2})"
        ),
        is_credential,
        at_words,
        needs=with_token(12),
    ),
    Pattern(
        "URL_PASSWORD",
        ("://",),
        re.compile(r"(?<=[a-zA-Z0-9+.-]{2})://[^\s:/@'\"<>]*:(?P<v>[^\s/@'\"<>]+)@"),
        search=at_words,
        needs=with_mark(b"://"),
    ),
    Pattern(
        "PASSWORD",
        ("-u", "--user", "--password", "--pass", "--token", "--secret", "-pw"),
        re.compile(
            r"(?<![A-Za-z0-9-])(?:(?:-u|--user)[ =]?[\"']?[^\s:\"'/]{1,64}:(?P<v>[^\s\"'/]{3,128})"
            r"|(?:--(?:password|pass|token|secret)"
            r"|-pw)[ =][\"']?(?P<w>(?=\S{0,60}[\d!@#$%^&*?+~])[^\s\"'$<]{4,256}))"
        ),
        search=at_words,
        needs=with_mark(b"-"),
    ),
    Pattern(
        "PASSWORD",
        (
            "pass",
            "pwd",
            "secret",
            "key",
            "token",
            "kennwort",
            "mot de passe",
            "mdp",
            "contrase",
            "clave",
            "senha",
            "wachtwoord",
            "parola",
            "haslo",
            "hasło",
            "pin:",
            "pin=",
            "pw:",
            "pw=",
            "clé api",
            "cle api",
            "api-schl",
        ),
        re.compile(rf"(?i){_NAMED}{_ASSIGNED}"),
        is_password,
        at_words,
        needs=with_assignment,
    ),
    Pattern(
        "PASSWORD",
        (
            "pass",
            "pwd",
            "kennwort",
            "mot de passe",
            "mdp",
            "contrase",
            "clave",
            "senha",
            "wachtwoord",
            "parola",
            "haslo",
            "hasło",
        ),
        re.compile(
            rf"(?i)\b(?:{_STRONG})\s{{1,3}}(?:for \S{{1,30}} )?(?:is|was|to|as|ist|lautet|war|est|es|é|è"
            rf"|to)\s?:?\s{{1,3}}[\"'`]?"
            r"(?P<v>(?=\S{0,60}[\d!@#$%^&*?_+~-])[^\s\"'`,;<>]{3,126}[^\s\"'`,;<>.:?])"
            rf"|\b(?:{_STRONG})\s{{1,3}}"
            r"(?P<w>(?=\S{0,40}[0-9])(?=\S{0,40}[A-Za-z])[^\s\"'`,;<>:=]{3,60}[!@#$%^&*?])(?=[\s.,]|$)"
        ),
        is_said_password,
        at_words,
        needs=with_unlike_marks,
    ),
    Pattern(
        "PASSWORD",
        ("pin",),
        re.compile(
            r"(?i)(?<![A-Za-z])pin(?:[ -]?(?:code|number))?\s{1,3}(?:is|was|ist|lautet|war|es|est)\s:?\s{0,3}"
            r"(?P<v>[0-9]{4,8})(?![0-9A-Za-z]|[.,][0-9])"
        ),
        search=at_words,
        needs=with_digits(4),
    ),
    Pattern(
        "PASSWORD",
        tuple(_OTHER_STRONG.split("|")),
        re.compile(
            rf"(?i)(?:{_OTHER_STRONG})(?:ของ(?:ฉัน|ผม|เรา))?[\"'`]?\s{{0,3}}(?:[:=]|คือ|是|为|為|就是|叫|は|은|는|이|가|это|:|के|है|هي"
            rf"|to)?\s{{0,3}}[\"'`「『]?"
            r"(?P<v>(?=[!-~]{0,60}[\d!@#$%^&*?+~])[!#-&(-+\--~]{3,126}[!#-&(-+\-/-9=@-~])"
        ),
        is_said_password,
        at_words,
        needs=with_other_letters,
    ),
    Pattern(
        # A key that a sentence names: `my api key is ...`.
        "PASSWORD",
        ("key",),
        re.compile(
            rf"(?i)(?:{_KEY_OF})key\s{{1,3}}(?:(?:is|was|ist|es"
            rf"|est)\s{{1,3}})?(?P<v>[A-Za-z0-9_+/=-]{{16,256}})"
        ),
        looks_random,
        at_words,
        needs=with_token(16),
    ),
    Pattern(
        # Elements, attributes and arguments: `<password>x</`, `key="DbPassword" value="x"`, `define('DB_PASSWORD', 'x')`.
        "PASSWORD",
        ("pass", "pwd", "secret", "mdp"),
        re.compile(
            r"(?i)(?:passw(?:or)?d|passphrase|pwd|secret|mdp)(?:"
            r">\s{0,3}(?P<e>[^<>\s]{4,128})\s{0,3}</"
            r"|[\"']\s{1,3}value\s{0,3}=\s{0,3}\"(?P<a>[^\"\n]{4,128})\""
            r"|[\"']\s{1,3}value\s{0,3}=\s{0,3}'(?P<b>[^'\n]{4,128})'"
            r"|[\"']\s{0,3},\s{0,3}(?:\"(?P<c>[^\"\n]{4,128})\"|'(?P<d>[^'\n]{4,128})'))"
        ),
        is_written_password,
        at_words,
        needs=with_unlike_marks,
    ),
    Pattern(
        # Statements and commands in which a password stands at its place.
        "PASSWORD",
        (
            "identified by",
            "password '",
            "requirepass",
            "masterauth",
            "redis-cli",
            "/user:",
            "htpasswd",
            "sqlplus",
            "psql",
            "ldapsearch",
            "wifi:",
            "machine",
        ),
        re.compile(
            r"(?i)(?:identified by|password)\s{1,3}'(?P<a>[^'\n]{4,128})'"
            r"|(?:requirepass|masterauth)\s{1,3}(?P<b>\S{4,128})"
            r"|redis-cli\b[^\n]{0,80}?\s-a\s?(?P<c>[^\s$]{4,128})"
            r"|/user:\S{1,64}\s{1,3}(?P<d>[^\s/$]{4,128})"
            r"|htpasswd\s{1,3}-\w{0,6}b\w{0,6}\s[^\n]{1,80}?\s\S{1,64}\s{1,3}(?P<e>[^\s$-]\S{3,127})"
            r"(?=\s{0,3}(?:$|\n|[|;&]))"
            r"|sqlplus\s{1,3}(?:-\w\s){0,3}\w{1,64}/(?P<f>[^\s@/]{3,64})(?=@|\s|$)"
            r"|ldapsearch\b[^\n]{0,120}?\s-w\s?(?P<g>[^\s$]{4,128})"
            r"|wifi:(?:[STHE]:[^;\n]{0,64};){0,4}P:(?P<h>(?:[^;\n\\]|\\.){4,64})(?=;)"
            r"|machine\s{1,3}\S{1,128}\s{1,3}login\s{1,3}\S{1,64}\s{1,3}password\s{1,3}(?P<i>\S{4,128})"
        ),
        is_written_password,
        at_words,
        needs=with_unlike_marks,
    ),
    Pattern(
        # Password words with an ending or some words behind them: `şifrem`, `mitt lösenord är`, `mật khẩu của tôi là`.
        "PASSWORD",
        (
            "şifre",
            "parola",
            "lösenord",
            "adgangskode",
            "passord",
            "salasana",
            "mật khẩu",
            "пароль",
            "kata sandi",
            "jelszó",
            "heslo",
            "κωδικός",
            "парола",
            "лозинка",
            "lozinka",
            "zaporka",
            "geslo",
            "kata laluan",
            "slaptažodis",
        ),
        re.compile(
            r"(?i)(?:şifre|parola|lösenord|adgangskode|passord|salasana|mật khẩu|пароль|kata sandi|jelszó|heslo|κωδικός"
            r"|парола|лозинка|lozinka|zaporka|geslo|kata laluan|slaptažodis)"
            r"[^\n\d:=\"'`]{0,32}?(?:[:=]|\s(?:är|er|este|e|is|là|es|je|on|adalah|είναι))?\s{1,3}[\"'`]?"
            r"(?P<v>(?=[!-~]{0,60}[0-9])(?=[!-~]{0,60}[A-Za-z])[!#-&(-+\--~]{5,126}[!#-&(-+\-/-9=@-~])"
        ),
        is_said_password,
        at_words,
        needs=with_unlike_marks,
    ),
    Pattern(
        # `creds are bob / x`, `user bob / x`.
        "PASSWORD",
        ("creds", "credentials", "login"),
        re.compile(
            r"(?i)\b(?:creds|credentials|login)(?: details)?(?:\s{0,2}(?:are|is|:|=))?\s{1,3}[\w.@+-]{2,64}"
            r"\s{0,2}[/:]\s{0,2}"
            r"(?P<v>(?=\S{0,60}[0-9])(?=\S{0,60}[A-Za-z])[^\s\"'`,;<>/]{5,126}[^\s\"'`,;<>.:?/])"
        ),
        is_said_password,
        at_words,
        needs=with_unlike_marks,
    ),
    Pattern(
        "PASSWORD",
        ("mysql", "sshpass"),
        re.compile(
            r"(?:mysql\w{0,6}|sshpass)\b[^\n]{0,60}? -p ?['\"]?(?P<v>(?=\S{0,40}[0-9!@#%^&*])[^\s'\"$]{4,64})"
        ),
        search=at_words,
        needs=with_mark(b"-"),
    ),
    Pattern(
        "CARD",
        ("cvv", "cvc"),
        re.compile(r"(?i)(?<![A-Za-z])cv[vc]2?[^0-9A-Za-z\n]{1,4}(?:is |code )?(?P<v>[0-9]{3,4})(?![0-9.])"),
        search=at_words,
        needs=with_digits(3),
    ),
    Pattern(
        "EMAIL",
        (),
        re.compile(
            r"[^\s@]{1,64}@(?:(?:[A-Za-z0-9\u00c0-\u024f-]{1,63}\.){1,8}(?:xn--[A-Za-z0-9-]{2,59}"
            r"|[A-Za-z]{2,24})"
            r"(?![A-Za-z0-9_\u00c0-\u024f])"
            r"|(?:[\w-]{1,63}\.){1,8}(?:рф|бел|укр|срб|ευ|ελ|भारत|امارات|السعودية|مصر|中国|中國|公司|网络|網絡|香港|台湾|台灣"
            r"|한국|닷컴|みんな|コム|ไทย))"
        ),
        is_address,
        at_addresses,
        needs=with_mark(b"@"),
    ),
    Pattern(
        "IBAN",
        (),
        re.compile(
            r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}(?:[ -]?[A-Za-z0-9]{4}){2,7}(?:[ -]?[A-Za-z0-9]{1,3})?(?![A-Za-z0-9])"
        ),
        is_iban,
        at_letters_and_digits,
        needs=with_digits(2),
    ),
    Pattern(
        "NATIONAL_ID",
        (),
        re.compile(
            r"(?<![A-Za-z0-9])[1-8][0-9]{5}(?:19|20)[0-9]{2}[01][0-9][0-3][0-9][0-9]{3}[0-9Xx](?![A-Za-z0-9])"
        ),
        is_resident_id,
        in_numbers(17),
        needs=with_digits(17),
    ),
    Pattern(
        "NATIONAL_ID",
        (),
        re.compile(r"(?<![A-Za-z0-9.])[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}(?![A-Za-z0-9])"),
        is_cpf,
        in_numbers(14),
        needs=with_stretches,
    ),
    Pattern(
        "NATIONAL_ID",
        ("nino", "national insurance", "ni number"),
        re.compile(
            r"(?i)(?:nino|national insurance|ni number)[^\n]{0,24}?"
            r"(?P<v>\b[A-CEGHJ-PR-TW-Z]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D])\b"
        ),
        search=at_words,
        needs=with_digits(6),
    ),
    Pattern(
        "NATIONAL_ID",
        ("cnpj",),
        re.compile(
            r"(?i)cnpj[^0-9\n]{0,12}(?P<v>[0-9]{2}\.?[0-9]{3}\.?[0-9]{3}/?[0-9]{4}-?[0-9]{2})(?![0-9])"
        ),
        search=at_words,
        needs=with_digits(14),
    ),
    Pattern(
        # National numbers that their name leads to; without it they are numbers like others.
        "NATIONAL_ID",
        _ID_WORDS,
        re.compile(rf"(?i)(?<![A-Za-z])(?:{_ID_NAME})[^\n0-9]{{0,24}}?(?P<v>{_ID_NUMBER})(?![A-Za-z0-9])"),
        search=at_words,
        needs=with_digits(6),
    ),
    Pattern(
        "CARD",
        (),
        re.compile(r"(?<![A-Za-z0-9.])[0-9](?:[ -]?[0-9]){12,18}(?![A-Za-z0-9]|\.[0-9])"),
        is_card,
        in_numbers(13),
        needs=with_stretches,
    ),
    Pattern(
        "SSN",
        (),
        re.compile(r"(?<![A-Za-z0-9-])[0-9]{3}([- ])[0-9]{2}\1[0-9]{4}(?![A-Za-z0-9-])"),
        is_ssn,
        in_numbers(11),
        needs=with_stretches,
    ),
    Pattern(
        "SSN",
        ("ssn", "social security"),
        re.compile(r"(?i)(?<![A-Za-z])(?:ssn|social security)[^0-9\n]{0,20}(?P<v>[0-9]{9})(?![0-9])"),
        search=at_words,
        needs=with_digits(9),
    ),
    Pattern(
        "NHS",
        ("nhs",),
        re.compile(r"(?i)(?<![A-Za-z])nhs[^0-9\n]{0,24}(?P<v>[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{4})(?![0-9])"),
        is_nhs,
        at_words,
        needs=with_digits(10),
    ),
    Pattern(
        "PASSPORT",
        ("pass", "paspoort", "pasaporte", "护照", "護照", "パスポート", "旅券", "여권", "паспорт", "جواز"),
        re.compile(
            r"(?i:pass(?:ports?|eport|aporto)|(?<=reise)pass|paspoort|pasaporte|护照|護照|パスポート|旅券|여권|паспорт"
            r"|جواز)"
            r"[^\n]{0,24}?(?P<v>(?<![A-Za-z0-9])[A-Z]{0,3}[0-9]{6,9}[A-Z]?"
            r"|(?<![A-Za-z0-9])[0-9]{2}[A-Z]{2}[0-9]{5}"
            r"|(?<![A-Za-z0-9])(?=[A-Z]*[0-9])[CFGHJKLMNPRTVWXYZ0-9]{9})(?![A-Za-z0-9])"
        ),
        search=at_words,
        needs=with_digits(6),
    ),
    Pattern(
        "IP",
        (),
        re.compile(r"(?<![A-Za-z0-9_.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![A-Za-z0-9_]|\.[0-9])"),
        is_ip,
        in_numbers(7),
        needs=with_stretches,
    ),
    Pattern(
        "IP",
        (),
        re.compile(r"(?<![A-Za-z0-9_:])(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}(?![A-Za-z0-9_:])"),
        search=in_text,
        needs=with_long_ip,
    ),
    Pattern(
        "IP",
        ("::",),
        re.compile(
            r"(?<![A-Za-z0-9_:])(?:(?:[0-9a-fA-F]{1,4}:){2,6}(?::[0-9a-fA-F]{1,4}){1,4}"
            r"|(?:[0-9a-fA-F]{1,4}:){2,6}:"
            r"|[0-9a-fA-F]{1,4}:(?::[0-9a-fA-F]{1,4}){2,6}|[0-9a-fA-F]{4}::[0-9a-fA-F]{1,4})(?![A-Za-z0-9_:])"
        ),
        needs=with_mark(b"::"),
    ),
    Pattern(
        "MAC",
        (),
        re.compile(
            r"(?<![A-Za-z0-9_:-])[0-9a-fA-F]{2}([:-])[0-9a-fA-F]{2}(?:\1[0-9a-fA-F]{2}){4}(?![A-Za-z0-9_:-])"
        ),
        search=in_text,
        needs=with_mac,
    ),
    Pattern(
        "MAC",
        ("mac", "ether", "arp"),
        re.compile(
            r"(?i:mac|ether|arp)[^\n]{0,24}?"
            r"(?P<v>(?<![A-Za-z0-9.])(?=[0-9.]{0,13}[a-fA-F])(?:[0-9a-fA-F]{4}\.){2}[0-9a-fA-F]{4}(?![A-Za-z0-9.]))"
        ),
        search=at_words,
        needs=with_digits(1),
    ),
    Pattern(
        "PHONE",
        (),
        re.compile(
            r"(?<![A-Za-z0-9.+])(?:\+|00)[1-9][0-9]{0,2}(?:[ .()/-]{0,2}[0-9]){6,14}(?![A-Za-z0-9]|\.[0-9])"
            r"|(?<![A-Za-z0-9.+/-])(?:"
            r"\([0-9]{2,5}\)[ -]?[0-9]{3,5}[ -][0-9]{3,5}|\((?:0[0-9]{1,4}|[2-9][0-9]{2})\) ?[0-9]{6,8}"
            r"|(?:1[ .-])?[2-9][0-9]{2}([ .-])[0-9]{3}\1[0-9]{4}"
            r"|(?<![0-9] )0[1-9](?:([ .-])[0-9]{2})(?:\2[0-9]{2}){3}"
            r"|0[1-9][0-9]{0,3}([ .-])[0-9]{3,4}\3[0-9]{3,4}|0[1-9][0-9]?-[0-9]{4}-[0-9]{4}"
            r"|0[1-9][0-9]{1,4}[ /-][0-9]{5,8}|0[17][0-9]{9}|0[67][0-9]{8}|1[3-9][0-9]{9}"
            r"|1[3-9][0-9]([ -])[0-9]{4}\4[0-9]{4}"
            r"|[6-9][0-9]{4} [0-9]{5}|[1-9][0-9] 9[0-9]{4}-[0-9]{4}"
            r"|[679][0-9]{2}([ .-])[0-9]{2}\5[0-9]{2}\5[0-9]{2}"
            r")(?![A-Za-z0-9-]|\.[0-9]| [0-9])"
        ),
        is_phone,
        in_numbers(8),
        needs=with_stretches,
    ),
    Pattern(
        "PHONE",
        _CALL_WORDS,
        re.compile(
            rf"(?i)(?:{_CALL})[\"'`]?(?:\s{{0,2}}(?:[:=#]|is|at|on|ist|:|は|是|au"
            rf"|:|على|الرقم|по|на)){{0,2}}[.:]?\s{{0,3}}[\"'`]?"
            r"(?P<v>[+(]{0,2}[0-9](?:[ .()/-]{0,2}[0-9]){6,14})(?![0-9A-Za-z]|\.[0-9])"
        ),
        is_called,
        at_words,
        needs=with_stretches,
    ),
)
"""In order of precedence: where spans overlap, the earlier start wins, then the longer, then the earlier pattern."""

KINDS = frozenset(pattern.kind for pattern in PATTERNS)
_VOCABULARY = Vocabulary(word for pattern in PATTERNS for word in pattern.words)


_LED_TO = tuple((pattern, pattern.words if pattern.search in BY_WORDS else None) for pattern in PATTERNS)
"""Each pattern with the words of which a text must hold one; None where none is needed."""


def find_known(text: str) -> Iterator[Span]:
    """Yield the spans of all built-in kinds, as they are found; the detector that is on by default."""
    if is_prose(text):
        return
    for view in views_of(text):
        known = Text(view.text, _VOCABULARY)
        if known.is_plain:
            continue
        held = known.held or frozenset()
        for pattern, led_to in _LED_TO:
            if pattern.needs(known) and (led_to is None or not held.isdisjoint(led_to)):
                for span in pattern.find(known):
                    yield Span(*view.place(span.start, span.end), span.kind)

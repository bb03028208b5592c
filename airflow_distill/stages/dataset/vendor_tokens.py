"""Tokens that name their vendor by how they begin: the word to look for, and the whole form.

Data only, as the vendors publish it, for `known_secrets`. A form is tried where its word begins; its repeats have a least
length, so that words of prose and names in code are none. Standard library only.
"""

from __future__ import annotations

_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"

FORMS: tuple[tuple[str, str], ...] = (
    # models
    ("lsv2_", r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}"),
    ("fw_", r"fw_(?=[A-Za-z]{0,20}[0-9])[A-Za-z0-9]{22,}"),
    ("tgp_v1_", r"tgp_v1_[A-Za-z0-9_-]{30,}"),
    ("jina_", r"jina_[0-9a-f]{32}[A-Za-z0-9_-]{16,}"),
    ("csk-", r"csk-[a-z0-9]{40,}"),
    ("pcsk_", r"pcsk_[A-Za-z0-9]{5,8}_[A-Za-z0-9]{50,}"),
    # hosts of code, and what builds it
    ("atbb", r"ATBB[A-Za-z0-9]{24,}"),
    ("ccipat_", r"CCIPAT_[A-Za-z0-9]{20,}_[0-9a-f]{40}"),
    ("bkua_", r"bkua_[0-9a-f]{40}"),
    ("glrtr-", r"glrtr-[A-Za-z0-9_-]{20,}"),
    ("akcp", r"AKCp[A-Za-z0-9]{60,}"),
    ("cmvmdgtu", r"cmVmdGtu[A-Za-z0-9]{50,}"),
    ("oy2", r"oy2[a-z0-9]{43}(?![a-z0-9])"),
    ("clojars_", r"CLOJARS_[a-z0-9]{60}"),
    ("cio", r"cio(?=[A-Za-z]{0,30}[0-9])(?=[a-z0-9]{0,30}[A-Z])[A-Za-z0-9]{32}(?![A-Za-z0-9])"),
    ("sqp_", r"sqp_[0-9a-f]{40}"),
    ("squ_", r"squ_[0-9a-f]{40}"),
    ("sqa_", r"sqa_[0-9a-f]{40}"),
    ("rnd_", r"rnd_(?=[A-Za-z]{0,24}[0-9])[A-Za-z0-9]{28,}"),
    ("nfp_", r"nfp_[A-Za-z0-9]{36,}"),
    ("pnu_", r"pnu_[a-z0-9]{36}"),
    ("hrku-", r"HRKU-[A-Za-z0-9_-]{36,}"),
    # clouds
    ("ltai", r"LTAI[A-Za-z0-9]{16,24}(?![A-Za-z0-9])"),
    ("akid", r"AKID(?=[A-Za-z]{0,31}[0-9])[A-Za-z0-9]{32}(?![A-Za-z0-9])"),
    ("v1.0-", r"v1\.0-[0-9a-f]{24}-[0-9a-f]{100,}"),
    ("fm2_", r"fm[12]_[A-Za-z0-9+/=_-]{60,}"),
    ("y0_", r"y[0-3]_[A-Za-z0-9_-]{50,}"),
    ("aqvn", r"AQVN[A-Za-z0-9_-]{35,38}"),
    (".atlasv1.", r"\.atlasv1\.[A-Za-z0-9_=-]{50,}"),
    ("pscale_", r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_=.-]{32,}"),
    ("napi_", r"napi_[a-z0-9]{50,}"),
    ("mdb_sa_sk_", r"mdb_sa_sk_[A-Za-z0-9_-]{32,}"),
    ("1//0", r"1//0[A-Za-z0-9_-]{40,}"),
    ("xkeysib-", r"xkeysib-[0-9a-f]{64}-[A-Za-z0-9]{16}"),
    ("xsmtpsib-", r"xsmtpsib-[0-9a-f]{64}-[A-Za-z0-9]{16}"),
    ("scw", r"SCW(?=[A-Z]{0,16}[0-9])[A-Z0-9]{17}(?![A-Za-z0-9])"),
    # watching and mail
    ("dt0c01.", r"dt0[a-z][0-9]{2}\.[A-Z0-9]{24}\.[A-Z0-9]{64}"),
    ("hcaik_", r"hca[ilm]k_[a-z0-9]{50,}"),
    ("nrjs-", r"NRJS-[0-9a-f]{19}"),
    ("nrii-", r"NRII-[A-Za-z0-9_-]{32}"),
    ("essu_", r"essu_[A-Za-z0-9_=+/-]{50,}"),
    ("phx_", r"phx_[A-Za-z0-9]{40,}"),
    ("phc_", r"phc_[A-Za-z0-9]{40,}"),
    ("re_", r"re_[A-Za-z0-9]{8}_[A-Za-z0-9]{24}(?![A-Za-z0-9])"),
    ("sgp_", r"sgp_(?:[A-Za-z0-9]{1,16}_)?[0-9a-f]{40}"),
    ("sdk-", rf"sdk-{_ID}"),
    ("api-", rf"api-{_ID}"),
    # work and money
    ("pat", r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}"),
    ("2/", r"2/[0-9]{15,18}/[0-9]{15,18}:[0-9a-f]{32}"),
    ("secret_", r"secret_(?=[A-Za-z]{0,40}[0-9])[A-Za-z0-9]{43}(?![A-Za-z0-9])"),
    ("pat-", rf"pat-[a-z]{{2}}[0-9]-{_ID}"),
    ("tfp_", r"tfp_[A-Za-z0-9_-]{40,}"),
    ("sl.u.", r"sl\.u\.[A-Za-z0-9_-]{100,}"),
    ("eaaa", r"EAAA[A-Za-z0-9_-]{56,}"),
    ("access_token$", r"access_token\$(?:production|sandbox)\$[a-z0-9]{16}\$[0-9a-f]{32}"),
    ("access-", rf"access-(?:production|sandbox|development)-{_ID}"),
    ("rzp_", r"rzp_(?:live|test)_[A-Za-z0-9]{14,}"),
    ("shippo_", r"shippo_(?:live|test)_[0-9a-f]{40}"),
    ("duffel_", r"duffel_(?:live|test)_[A-Za-z0-9_-]{40,}"),
    ("ezak", r"EZ[AT]K[A-Za-z0-9]{54}"),
    ("eztk", r"EZ[AT]K[A-Za-z0-9]{54}"),
    ("flwseck", r"FLWSECK(?:_TEST)?-[A-Za-z0-9]{12,}-X"),
    ("sk.eyj1", r"sk\.eyJ1[A-Za-z0-9_-]{30,}\.[A-Za-z0-9_-]{20,}"),
    ("oauth:", r"oauth:[a-z0-9]{30}(?![a-z0-9])"),
    ("00d", r"00D[A-Za-z0-9]{12,15}![A-Za-z0-9._]{60,}"),
    ("a3-", r"A3-[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})(?:-[A-Z0-9]{5}){3}"),
    ("p8e-", r"p8e-[A-Za-z0-9]{32}"),
    # hashes of passwords, as files of accounts hold them
    ("$apr1$", r"\$apr1\$[./A-Za-z0-9]{1,8}\$[./A-Za-z0-9]{22}"),
    ("$1$", r"\$1\$[./A-Za-z0-9]{1,8}\$[./A-Za-z0-9]{22}"),
    ("$2a$", r"\$2a\$[0-9]{2}\$[./A-Za-z0-9]{53}"),
    ("$2b$", r"\$2b\$[0-9]{2}\$[./A-Za-z0-9]{53}"),
    ("$2y$", r"\$2y\$[0-9]{2}\$[./A-Za-z0-9]{53}"),
    ("$5$", r"\$5\$(?:rounds=[0-9]{1,9}\$)?[./A-Za-z0-9]{1,16}\$[./A-Za-z0-9]{43}"),
    ("$6$", r"\$6\$(?:rounds=[0-9]{1,9}\$)?[./A-Za-z0-9]{1,16}\$[./A-Za-z0-9]{86}"),
    ("$y$", r"\$y\$[./A-Za-z0-9]{1,8}\$[./A-Za-z0-9]{1,86}\$[./A-Za-z0-9]{43}"),
    (
        "$argon2",
        r"\$argon2(?:id|i|d)\$v=[0-9]{1,3}\$[a-z0-9=,]{4,40}\$[A-Za-z0-9+/]{8,88}\$[A-Za-z0-9+/]{16,172}",
    ),
)
"""(word in lower case, form). A word may begin a token of another kind too; the form decides."""

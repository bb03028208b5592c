"""Says whether a tag may be released: tag, version and changelog must name the same release.

python packages/release_check.py v0.1.0        exit status 1 and one line for each mistake
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RELEASED = re.compile(r"^## (\d+\.\d+\.\d+) - (\d{4}-\d{2}-\d{2})$", re.MULTILINE)
BULLET = re.compile(r"^- .*?(?=^- |^\S|\Z)", re.MULTILINE | re.DOTALL)


def sections(changelog: str) -> dict[str, str]:
    """Return the text of each released version, the newest first."""
    found = list(RELEASED.finditer(changelog))
    ends = [match.start() for match in found[1:]] + [len(changelog)]
    return {match[1]: changelog[match.end() : end] for match, end in zip(found, ends, strict=True)}


def changes(section: str) -> list[str]:
    """Return the changes of behaviour of one version: the bullets under "Changed"."""
    match = re.search(r"^Changed$(.*?)(?=^[A-Z][a-z]+$|\Z)", section, re.MULTILINE | re.DOTALL)
    return [bullet.strip() for bullet in BULLET.findall(match[1])] if match else []


def without_way_back(section: str) -> list[str]:
    """Return the changes of behaviour that do not say how to get the former behaviour."""
    return [change for change in changes(section) if "*Way back:*" not in change]


def mistakes(tag: str, version: str, changelog: str) -> Iterator[str]:
    """Yield what keeps a tag from being released."""
    if tag != f"v{version}":
        yield f"The tag is {tag}, airflow_distill/__init__.py says {version}."
    known = sections(changelog)
    if version not in known:
        yield f"CHANGELOG.md has no head `## {version} - YYYY-MM-DD`."
    for change in without_way_back(known.get(version, "")):
        yield f"CHANGELOG.md: this change says no way back (`*Way back:* ...`): {change[:80]}"


def main(argv: list[str]) -> int:
    text = (ROOT / "airflow_distill" / "__init__.py").read_text()
    version = re.search(r'__version__ = "(.+)"', text)
    assert version is not None
    found = list(mistakes(argv[0], version[1], (ROOT / "CHANGELOG.md").read_text()))
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

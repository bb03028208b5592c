"""What Airflow asks about a URI `distill://KIND/WORKLOAD` when an asset is made. It imports nothing of ours."""

from __future__ import annotations

import re
from urllib.parse import SplitResult

_KIND = re.compile(r"[a-z]+(-[a-z]+)*")
_WORKLOAD = re.compile(r"/[A-Za-z0-9_.-]+")


def checked(uri: SplitResult) -> SplitResult:
    """Return a URI that names one kind of asset and one workload.

    :raises ValueError: it does not.
    """
    if not _KIND.fullmatch(uri.netloc) or not _WORKLOAD.fullmatch(uri.path) or uri.query or uri.fragment:
        raise ValueError(
            f"{uri.geturl()!r}: write distill://dataset/WORKLOAD, distill://release/WORKLOAD or the like"
        )
    return uri

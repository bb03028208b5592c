"""What a workload's runs were allowed to spend in a month: numbered claims in the bucket, each created once.

    <root>/<workload>/spend/202611/000003.json      the claim: dataset, dollars, and the month's cap it was held against

Two runs cannot take one number, because the write is refused when the object is there. Whether a claim stands is never
stored: it stands if it and those before it that stand keep to its own cap. So of two runs at once that do not both fit,
every reader sees the same one refused. No clock: the month is passed in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from airflow_distill.errors import StateError
from airflow_distill.stages.storage import ObjectExistsError, ObjectStore, join_uri

_CLAIM = re.compile(r"/(\d{6})\.json$")


@dataclass(frozen=True, slots=True)
class Claim:
    """What one run asked to spend on a dataset.

    :param cap: what the month's claims may come to, this one included; None for no cap.
    """

    dataset_id: str
    usd: float
    cap: float | None = None
    number: int = 0


def standing(claims: Iterable[Claim]) -> list[Claim]:
    """Return the claims that stand, in order; a dataset is bought once, so it is counted once."""
    stand: dict[str, Claim] = {}
    for claim in sorted(claims, key=lambda each: each.number):
        if claim.dataset_id in stand:
            continue
        if claim.cap is None or total(stand.values()) + claim.usd <= claim.cap:
            stand[claim.dataset_id] = claim
    return list(stand.values())


def total(claims: Iterable[Claim]) -> float:
    """Return the dollars of claims."""
    return sum(claim.usd for claim in claims)


class Spend:
    """The claims of one workload in one calendar month.

    :param root: the workloads' common root, `s3://bucket/prefix` or a folder.
    :param month: the UTC month in which the money is spent, such as `202611`.
    """

    def __init__(self, store: ObjectStore, root: str, workload: str, month: str) -> None:
        self._store = store
        self.prefix = join_uri(root, workload, "spend", month) + "/"

    def read(self) -> list[Claim]:
        """Return all claims, also those that do not stand.

        :raises StateError: a claim cannot be read; it is never taken for "none".
        """
        found = [item.uri for item in self._store.iter_objects(self.prefix)]
        return [self._claim(uri, int(match[1])) for uri in found if (match := _CLAIM.search(uri))]

    def claim(self, dataset_id: str, usd: float, cap: float | None) -> tuple[bool, float]:
        """Claim money for a dataset; return whether the claim stands, and what the others before it come to.

        A dataset whose claim stands already needs no other.
        """
        claims = self.read()
        if dataset_id not in {each.dataset_id for each in standing(claims)}:
            number = self._write(Claim(dataset_id, usd, cap), 1 + max((c.number for c in claims), default=0))
            claims = [each for each in self.read() if each.number <= number]
        stand = standing(claims)
        others = [each for each in stand if each.dataset_id != dataset_id]
        return len(others) < len(stand), total(others)

    def _write(self, claim: Claim, number: int) -> int:
        """Write a claim under the first free number from this one on; return it."""
        while True:
            body = json.dumps({"v": 1, **asdict(replace(claim, number=number))}, indent=1)
            try:
                self._store.write(f"{self.prefix}{number:06d}.json", body.encode(), if_absent=True)
            except ObjectExistsError:
                number += 1
            else:
                return number

    def _claim(self, uri: str, number: int) -> Claim:
        raw = self._store.read(uri)
        try:
            body: dict[str, Any] = json.loads(raw)
            cap = body["cap"]
            return Claim(
                str(body["dataset_id"]), float(body["usd"]), None if cap is None else float(cap), number
            )
        except (ValueError, KeyError, TypeError) as error:
            raise StateError(
                f"workload: {uri} cannot be read ({type(error).__name__}).",
                hint="Restore it from the bucket's versions, or delete it if its run bought nothing.",
            ) from error

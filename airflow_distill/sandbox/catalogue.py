"""Which models there are, who may teach whom, and how each may be served; read from the package's one table of models.

The table is data (`stages/models.json`) with its sources; a user's file of the same form may lie over it. Only the data is
shared: what the sandbox makes of it is its own code, so that a mistake in the package's reading is not repeated here. Also
turns any identifier the service accepts (id, ARN, inference profile) into the model behind it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from airflow_distill.sandbox.failures import SandboxUsageError
from airflow_distill.sandbox.store import ACCOUNT

_REASONING_TOKENS = 220
"""How long the sandbox's reasoning models think aloud."""


@dataclass(frozen=True, slots=True)
class BaseModel:
    """One foundation model.

    :param refuses: members of `inferenceConfig` that the model answers with a ValidationException.
    :param judges: whether evaluation jobs take it as a judge.
    :param reasoning_tokens: how many tokens it thinks aloud before it answers; they count as output.
    """

    id: str
    name: str
    provider: str
    regions: tuple[str, ...]
    brain: str
    inference: tuple[str, ...]
    customizations: tuple[str, ...]
    streaming: bool
    input_modalities: tuple[str, ...]
    legacy_time: datetime | None
    end_of_life: datetime | None
    refuses: tuple[str, ...] = ()
    reasoning_tokens: int = 0
    judges: bool = True

    def status(self, now: datetime) -> str:
        """`ACTIVE`, `LEGACY` or `ENDED` at a moment."""
        if self.end_of_life is not None and now >= self.end_of_life:
            return "ENDED"
        if self.legacy_time is not None:
            return "LEGACY" if now >= self.legacy_time else "ACTIVE"
        return "ACTIVE"

    def arn(self, region: str) -> str:
        return f"arn:aws:bedrock:{region}::foundation-model/{self.id}"


@dataclass(frozen=True, slots=True)
class Profile:
    """One system-defined inference profile."""

    id: str
    name: str
    model: str
    regions: tuple[str, ...]

    def arn(self, region: str) -> str:
        return f"arn:aws:bedrock:{region}:{ACCOUNT}:inference-profile/{self.id}"


@dataclass(frozen=True, slots=True)
class Pair:
    """A teacher with its students and the Region of their jobs."""

    teacher: str
    students: tuple[str, ...]
    region: str
    how: tuple[str, ...]


class Catalogue:
    """The table of models, indexed.

    :param own: a user's table; its models and pairs replace those of the same id, its lists are added.
    """

    def __init__(self, own: Mapping[str, Any] | None = None) -> None:
        raw = _packaged() if own is None else _laid_over(own, _packaged())
        rows: dict[str, Mapping[str, Any]] = {row["id"]: row for row in raw.get("models", ())}
        taught = [pair for pair in raw.get("pairs", ()) if pair.get("trust") != "withdrawn"]
        self.pairs = tuple(
            Pair(teacher, tuple(p["student"] for p in found), found[0]["region"], _ways(found))
            for teacher, found in _by_teacher(taught).items()
        )
        methods: dict[str, dict[str, list[str]]] = {}
        for pair in taught:
            methods.setdefault(pair["student"], {}).setdefault("DISTILLATION", []).append(pair["region"])
        for student, region in raw.get("fine_tuning", {}).items():
            methods.setdefault(student, {}).setdefault("FINE_TUNING", []).append(region)
        teachers = {pair.teacher for pair in self.pairs}
        students = {_without_context(student) for student in methods}
        self.models: dict[str, BaseModel] = {}
        for base, row in rows.items():
            brain = "teacher" if base in teachers else "student" if base in students else "judge"
            inference = "INFERENCE_PROFILE" if row.get("profile_only") else "ON_DEMAND"
            self.models[base] = _base_model(row, base, row.get("regions", ()), brain, (inference,), ())
        for student, found in methods.items():
            row = rows.get(_without_context(student), {"id": student})
            brain = "teacher" if _without_context(student) in teachers else "student"
            regions = sorted({region for places in found.values() for region in places})
            kinds = tuple(kind for kind in ("FINE_TUNING", "DISTILLATION") if kind in found)
            self.models[student] = _base_model(row, student, regions, brain, ("PROVISIONED",), kinds)
        self.profiles = {
            f"{prefix}.{base}": Profile(
                f"{prefix}.{base}",
                f"{prefix.upper()} {row.get('name') or base}",
                base,
                tuple(raw.get("profiles", {}).get(prefix, ())),
            )
            for base, row in rows.items()
            for prefix in row.get("profiles", ())
        }
        self.deployment_regions: tuple[str, ...] = tuple(raw.get("deployment_regions", ()))
        self.quotas: dict[str, dict[str, str]] = dict(raw.get("quotas", {}))
        self._rows = rows
        self._families: dict[str, dict[str, Any]] = dict(raw.get("families", {}))

    def _row(self, model: str) -> Mapping[str, Any]:
        return self._rows.get(_without_context(model), {})

    def serves(self, model: str, host: str) -> bool:
        """Whether custom models of a base model may be served by a kind of host, as the table names it."""
        return host in self._row(model).get("hosts", ())

    def training_tokens(self, model: str) -> int | None:
        """Tokens of a record in fine-tuning, where a document says."""
        return self._row(model).get("context")

    def requests_per_minute(self, model: str) -> int:
        """Quota of one on-demand deployment; 0 is no limit here."""
        return int(self._row(model).get("requests_per_minute") or 0)

    def copies_to(self, model: str) -> tuple[str, ...]:
        """Regions that custom models of a base model may be copied to."""
        return tuple(self._row(model).get("copies_to", ()))

    def multi_turn(self, model: str) -> bool:
        """Whether a student may be taught conversations of several turns."""
        return bool(self._families.get(model.split(".", 1)[0], {}).get("multi_turn"))

    def tuned_on(self, model: str) -> str:
        """The form of a line of fine-tuning data; empty where no document says."""
        return str(self._families.get(model.split(".", 1)[0], {}).get("fine_tuning") or "")

    def units_quotas(self) -> dict[str, str]:
        """Code of the quota for units without commitment -> the model's name, for the models whose code is known."""
        return {
            str(row["units_quota"]): str(row.get("name") or base)
            for base, row in self._rows.items()
            if row.get("units_quota")
        }

    def model(self, identifier: str, region: str) -> BaseModel | None:
        """A foundation model by id or ARN, when it is offered in the Region."""
        found = self.models.get(_last_part(identifier, ":foundation-model/"))
        return found if found is not None and region in found.regions else None

    def profile(self, identifier: str, region: str) -> Profile | None:
        """A system inference profile by id or ARN, when the Region is its member."""
        found = self.profiles.get(_last_part(identifier, ":inference-profile/"))
        return found if found is not None and region in found.regions else None


def read_catalogue(path: str | Path | None) -> Catalogue:
    """The catalogue with a user's table over the packaged one; without a path the packaged one.

    :raises SandboxUsageError: the file is not there, or is no table of models.
    """
    if path is None:
        return packaged_catalogue()
    try:
        own = json.loads(Path(path).read_bytes())
        if not isinstance(own, dict) or own.get("v") != 1:
            raise ValueError("it is no table of version 1")
        return Catalogue(own)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise SandboxUsageError(f"the table of models {path} cannot be used: {error}") from error


@cache
def packaged_catalogue() -> Catalogue:
    """The catalogue of the packaged table."""
    return Catalogue()


@cache
def _packaged() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(
        files("airflow_distill").joinpath("stages", "models.json").read_bytes()
    )
    return loaded


def _laid_over(own: Mapping[str, Any], below: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in own.items():
        if name == "models":
            merged[name] = list({row["id"]: row for row in (*below[name], *value)}.values())
        elif name == "pairs":
            rows = (*below[name], *value)
            merged[name] = list({(row["teacher"], row["student"]): row for row in rows}.values())
        elif isinstance(value, list):
            merged[name] = list(dict.fromkeys((*below.get(name, ()), *value)))
        elif isinstance(value, dict):
            merged[name] = {**below.get(name, {}), **value}
        else:
            merged[name] = value
    return merged


def _by_teacher(pairs: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for pair in pairs:
        found.setdefault(pair["teacher"], []).append(pair)
    return found


def _ways(pairs: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    first = next(iter(pairs))
    if first.get("profile_only"):
        return ("profile",)
    return ("on-demand",) if first.get("on_demand_only") else ("on-demand", "profile")


def _base_model(
    row: Mapping[str, Any],
    identifier: str,
    regions: Iterable[str],
    brain: str,
    inference: tuple[str, ...],
    customizations: tuple[str, ...],
) -> BaseModel:
    return BaseModel(
        id=identifier,
        name=str(row.get("name") or identifier),
        provider=str(row.get("provider") or identifier.split(".", 1)[0]),
        regions=tuple(regions),
        brain=brain,
        inference=inference,
        customizations=customizations,
        streaming=True,
        input_modalities=tuple(kind.upper() for kind in row.get("input") or ("text",)),
        legacy_time=_time(row.get("legacy")),
        end_of_life=_time(row.get("ends")),
        refuses=tuple(row.get("refuses", ())),
        reasoning_tokens=_REASONING_TOKENS if row.get("reasons") else 0,
        judges=row.get("judges", True),
    )


def _without_context(model: str) -> str:
    return re.sub(r":[0-9]+[km]$", "", model)


def _last_part(identifier: str, marker: str) -> str:
    return (
        identifier.split(marker, 1)[1]
        if identifier.startswith("arn:") and marker in identifier
        else identifier
    )


def _time(day: str | None) -> datetime | None:
    return None if not day else datetime.fromisoformat(day).replace(tzinfo=UTC)

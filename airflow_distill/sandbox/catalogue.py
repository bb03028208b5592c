"""Which models there are, who may teach whom, and how each may be served; read from `data/models.json`.

Also turns any identifier the service accepts (id, ARN, inference profile) into the model behind it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files

from airflow_distill.sandbox.store import ACCOUNT


@dataclass(frozen=True, slots=True)
class BaseModel:
    """One foundation model.

    :param refuses: members of `inferenceConfig` that the model answers with a ValidationException.
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
    lifecycle: str
    input_modalities: tuple[str, ...]
    legacy_time: datetime | None
    end_of_life: datetime | None
    refuses: tuple[str, ...] = ()
    reasoning_tokens: int = 0

    def status(self, now: datetime) -> str:
        """`ACTIVE`, `LEGACY` or `ENDED` at a moment."""
        if self.end_of_life is not None and now >= self.end_of_life:
            return "ENDED"
        if self.legacy_time is not None:
            return "LEGACY" if now >= self.legacy_time else "ACTIVE"
        return self.lifecycle

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
    """The models file, indexed."""

    def __init__(self) -> None:
        raw = json.loads(files("airflow_distill.sandbox").joinpath("data/models.json").read_text())
        self.models = {
            m["id"]: BaseModel(
                id=m["id"],
                name=m["name"],
                provider=m["provider"],
                regions=tuple(m["regions"]),
                brain=m["brain"],
                inference=tuple(m["inference"]),
                customizations=tuple(m["customizations"]),
                streaming=m["streaming"],
                lifecycle=m["lifecycle"],
                input_modalities=tuple(m["inputModalities"]),
                legacy_time=_time(m.get("legacyTime")),
                end_of_life=_time(m.get("endOfLifeTime")),
                refuses=tuple(m.get("refuses", ())),
                reasoning_tokens=int(m.get("reasoningTokens", 0)),
            )
            for m in raw["models"]
        }
        self.profiles = {
            p["id"]: Profile(p["id"], p["name"], p["model"], tuple(p["regions"])) for p in raw["profiles"]
        }
        self.pairs = tuple(
            Pair(p["teacher"], tuple(p["students"]), p["region"], tuple(p["how"])) for p in raw["pairs"]
        )
        self.serving: dict[str, tuple[str, ...]] = {k: tuple(v) for k, v in raw["serving"].items()}
        self.training_tokens: dict[str, int] = dict(raw["trainingTokens"])
        self.deployment_requests: dict[str, int] = dict(raw["deploymentRequestsPerMinute"])
        self.copy_targets: dict[str, tuple[str, ...]] = {k: tuple(v) for k, v in raw["copyTargets"].items()}

    def model(self, identifier: str, region: str) -> BaseModel | None:
        """A foundation model by id or ARN, when it is offered in the Region."""
        found = self.models.get(_last_part(identifier, ":foundation-model/"))
        return found if found is not None and region in found.regions else None

    def profile(self, identifier: str, region: str) -> Profile | None:
        """A system inference profile by id or ARN, when the Region is its member."""
        found = self.profiles.get(_last_part(identifier, ":inference-profile/"))
        return found if found is not None and region in found.regions else None


@cache
def catalogue() -> Catalogue:
    """The one catalogue."""
    return Catalogue()


def _last_part(identifier: str, marker: str) -> str:
    return (
        identifier.split(marker, 1)[1]
        if identifier.startswith("arn:") and marker in identifier
        else identifier
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)

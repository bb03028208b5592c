"""The table of models: pairs, hosts, Regions, contexts, lifecycle, quota codes and profile prefixes, in one dated file.

The service has no call that returns pairs or hosts, so they are written down in `models.json`, with sources. A user's
file of the same form lies over it: a model or pair of the same id is replaced, others are added, plain lists are joined.
Which table is in force is said with `using`, for one task or command; without it the packaged one counts. Above the
stages' own folders, because logs, dataset, jobs and deployment read the same table. Pure but for the packaged file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields, replace
from datetime import date
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from airflow_distill.errors import ConfigurationError

CONTEXT_TOKENS = 32_000
"""Context of fine-tuning, in tokens, of a student for which the table of models states none."""

SCHEMA = 1

HostKind = Literal["provisioned-throughput", "custom-model-deployment"]
Trust = Literal["documented", "derived", "withdrawn"]


def is_application_profile(identifier: str) -> bool:
    """Say whether this is the ARN of an application inference profile: it does not say what model it means, and it cannot
    be a teacher."""
    return ":application-inference-profile/" in identifier


@dataclass(frozen=True, slots=True)
class Pair:
    """A teacher and a student that one job may join.

    :param profile_only: the teacher answers only through a system inference profile (`us.<id>`).
    :param region: where the job runs.
    """

    teacher: str
    student: str
    region: str
    profile_only: bool = False
    on_demand_only: bool = False
    trust: Trust = "documented"


@dataclass(frozen=True, slots=True)
class Model:
    """A base model: one that can be customised, teaches, or judges.

    :param name: as the console shows it.
    :param provider: as ListFoundationModels names it.
    :param regions: where it may be called.
    :param profile_only: it answers only through a system inference profile.
    :param profiles: prefixes of its system profiles; their Regions stand once in the table.
    :param input: what it takes beside text: `text`, `image`, `video`; text only when empty.
    :param hosts: how its custom models can be served; empty when it cannot be customised, or nobody knows.
    :param context: tokens of a record in fine-tuning; None when no document says.
    :param units_quota: code of the quota for units without commitment of this model; empty when unknown.
    :param requests_per_minute: quota of one on-demand deployment of its custom models; None when no document says.
    :param copies_to: Regions that its custom models may be copied to.
    :param legacy: the day from which it takes no new customers, ISO 8601, where it is announced.
    :param ends: the day its life ends, ISO 8601, where it is announced; the account's own word wins.
    :param refuses: members of `inferenceConfig` that it answers with an error.
    :param judges: evaluation jobs take it as a judge.
    :param reasons: it thinks aloud before it answers, which uses up `maxTokens`.
    """

    id: str
    name: str = ""
    provider: str = ""
    regions: tuple[str, ...] = ()
    profile_only: bool = False
    profiles: tuple[str, ...] = ()
    input: tuple[str, ...] = ()
    hosts: tuple[HostKind, ...] = ()
    context: int | None = None
    units_quota: str = ""
    requests_per_minute: int | None = None
    copies_to: tuple[str, ...] = ()
    legacy: str = ""
    ends: str = ""
    refuses: tuple[str, ...] = ()
    reasons: bool = False
    judges: bool = True


Form = Literal["conversation", "prompt-completion"]


@dataclass(frozen=True, slots=True)
class Family:
    """What one provider's students take, whichever model it is.

    :param multi_turn: they are taught conversations of several turns.
    :param fine_tuning: the form of a line of fine-tuning data: `conversation` (`bedrock-conversation-2024`), or
        `prompt-completion` (`{"prompt", "completion"}`, one turn); empty when no document says.
    :param most_records: of a fine-tuning job; None when no document says.
    """

    multi_turn: bool = False
    fine_tuning: Form | Literal[""] = ""
    most_records: int | None = None


@dataclass(frozen=True, slots=True)
class Quota:
    """A quota of Service Quotas: its code, and its name as the console shows it."""

    code: str
    name: str


@dataclass(frozen=True)
class ModelTable:
    """All that is known about models without asking the service.

    :param profiles: prefix of system profiles -> the Regions they are called in.
    :param fine_tuning: student with its context suffix -> Region of its fine-tuning jobs.
    :param families: provider's prefix -> what its students take.
    """

    date: str
    sources: Mapping[str, str]
    prefixes: tuple[str, ...]
    providers: tuple[str, ...]
    deployment_regions: tuple[str, ...]
    models: tuple[Model, ...]
    pairs: tuple[Pair, ...]
    quotas: Mapping[str, Quota] = field(default_factory=dict)
    fine_tuning: Mapping[str, str] = field(default_factory=dict)
    profiles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    families: Mapping[str, Family] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: Any) -> ModelTable:
        """Return the table of a file; members may be left out, as in a user's file.

        :raises ConfigurationError: an entry has the wrong form; the message says which.
        """
        if not isinstance(data, Mapping) or data.get("v") != SCHEMA:
            raise ConfigurationError(
                f"models: this is no table of version {SCHEMA}.",
                hint="`airflow-distill models list --json` prints one of the right form.",
            )
        unknown = set(data) - {"v", "date", "sources", "prefixes", "providers", "deployment_regions"}
        unknown -= {"models", "pairs", "quotas", "fine_tuning", "profiles", "families"}
        if unknown:
            raise _wrong(", ".join(sorted(map(str, unknown))), "is no member of the table")
        table = cls(
            date=_day(data.get("date"), "date", required=True),
            sources={str(k): str(v) for k, v in _mapping(data.get("sources"), "sources").items()},
            prefixes=_texts(data.get("prefixes"), "prefixes"),
            providers=_texts(data.get("providers"), "providers"),
            deployment_regions=_texts(data.get("deployment_regions"), "deployment_regions"),
            models=tuple(_model(row, n) for n, row in enumerate(_rows(data, "models"))),
            pairs=tuple(_pair(row, n) for n, row in enumerate(_rows(data, "pairs"))),
            quotas={
                str(name): Quota(str(row.get("code") or ""), str(row.get("name") or name))
                for name, row in _mapping(data.get("quotas"), "quotas").items()
                if isinstance(row, Mapping)
            },
            fine_tuning={
                str(student): str(region)
                for student, region in _mapping(data.get("fine_tuning"), "fine_tuning").items()
            },
            profiles={
                str(prefix): _texts(regions, f"profiles.{prefix}")
                for prefix, regions in _mapping(data.get("profiles"), "profiles").items()
            },
            families={
                str(provider): _family(row, f"families.{provider}")
                for provider, row in _mapping(data.get("families"), "families").items()
            },
        )
        for prefix in table.prefixes:
            if not re.fullmatch(r"[a-z]{2,8}(-[a-z]{2,8})?", prefix):
                raise _wrong(f"prefixes: {prefix!r}", "is not written like us, us-gov or global")
        return table

    def over(self, below: ModelTable) -> ModelTable:
        """Return this table laid over another: equal entries are replaced, others are added."""
        pairs = {(pair.teacher, pair.student): pair for pair in (*below.pairs, *self.pairs)}
        models = {model.id: model for model in (*below.models, *self.models)}
        return replace(
            self,
            sources={**below.sources, **self.sources},
            prefixes=tuple(dict.fromkeys((*below.prefixes, *self.prefixes))),
            providers=tuple(dict.fromkeys((*below.providers, *self.providers))),
            deployment_regions=tuple(dict.fromkeys((*below.deployment_regions, *self.deployment_regions))),
            models=tuple(models.values()),
            pairs=tuple(pairs.values()),
            quotas={**below.quotas, **self.quotas},
            fine_tuning={**below.fine_tuning, **self.fine_tuning},
            profiles={**below.profiles, **self.profiles},
            families={**below.families, **self.families},
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "v": SCHEMA,
            "date": self.date,
            "sources": dict(self.sources),
            "prefixes": list(self.prefixes),
            "providers": list(self.providers),
            "deployment_regions": list(self.deployment_regions),
            "models": [_written(model) for model in self.models],
            "pairs": [_written(pair) for pair in self.pairs],
            "quotas": {name: {"code": q.code, "name": q.name} for name, q in self.quotas.items()},
            "fine_tuning": dict(self.fine_tuning),
            "profiles": {prefix: list(regions) for prefix, regions in self.profiles.items()},
            "families": {provider: _written(family) for provider, family in self.families.items()},
        }

    def model(self, base_id: str) -> Model | None:
        """Return what is known about a base model, by its id without context suffix."""
        return next((model for model in self.models if model.id == base_id), None)

    @cached_property
    def prefix(self) -> re.Pattern[str]:
        """Matches a system profile's geography: a known one before any provider, any `xx.` before a known provider."""
        known = "|".join(re.escape(each) for each in sorted(self.prefixes, key=len, reverse=True))
        providers = "|".join(re.escape(each) for each in self.providers)
        return re.compile(
            rf"^(?:(?:{known})\.(?=[a-z0-9-]+\.)|[a-z]{{2}}(?:-[a-z]{{2,4}})?\.(?=(?:{providers})\.))"
        )


@cache
def packaged() -> ModelTable:
    """Return the table that comes with the package."""
    return ModelTable.from_json(json.loads(Path(__file__).with_name("models.json").read_bytes()))


_IN_FORCE: ContextVar[ModelTable | None] = ContextVar("airflow_distill_models", default=None)


def in_force() -> ModelTable:
    """Return the table that counts now."""
    return _IN_FORCE.get() or packaged()


@contextmanager
def using(table: ModelTable | None) -> Iterator[ModelTable]:
    """Let a user's table lie over the packaged one for a while; None changes nothing."""
    token = _IN_FORCE.set(None if table is None else table.over(packaged()))
    try:
        yield in_force()
    finally:
        _IN_FORCE.reset(token)


def read_table(data: bytes, uri: str) -> ModelTable:
    """Return the table of a user's file.

    :raises ConfigurationError: it is not JSON or has the wrong form.
    """
    try:
        return ModelTable.from_json(json.loads(data))
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"models: {uri} is not JSON.", hint="Write it as models.json is.") from error
    except ConfigurationError as error:
        raise ConfigurationError(f"{error.message} ({uri})", hint=error.hint) from error


def _wrong(where: str, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"models: {where} {what}.",
        hint="`airflow-distill models list --json` prints a table of the right form.",
    )


def _mapping(value: Any, where: str) -> Mapping[Any, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _wrong(where, "is no mapping")
    return value


def _texts(value: Any, where: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
        raise _wrong(where, "is no list of texts")
    return tuple(value)


def _rows(data: Mapping[str, Any], where: str) -> list[Mapping[str, Any]]:
    rows = data.get(where, [])
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise _wrong(where, "is no list of mappings")
    return rows


def _day(value: Any, where: str, *, required: bool = False) -> str:
    try:
        return date.fromisoformat(value).isoformat() if value or required else ""
    except (TypeError, ValueError):
        raise _wrong(f"{where}: {value!r}", "is no day such as 2026-11-30") from None


def _model(row: Mapping[str, Any], number: int) -> Model:
    where = f"models[{number}]"
    if set(row) - set(Model.__slots__) or not isinstance(row.get("id"), str) or "." not in row["id"]:
        raise _wrong(where, f"needs `id` and takes {', '.join(Model.__slots__)}")
    hosts = _texts(row.get("hosts"), f"{where}.hosts")
    if wrong := [host for host in hosts if host not in get_args(HostKind)]:
        raise _wrong(f"{where}.hosts: {wrong[0]!r}", f"is none of {', '.join(get_args(HostKind))}")
    return Model(
        id=row["id"],
        name=str(row.get("name") or ""),
        provider=str(row.get("provider") or ""),
        regions=_texts(row.get("regions"), f"{where}.regions"),
        profile_only=_flag(row, "profile_only", where),
        profiles=_texts(row.get("profiles"), f"{where}.profiles"),
        input=_texts(row.get("input"), f"{where}.input"),
        hosts=tuple(hosts),  # type: ignore[arg-type]
        context=_count(row, "context", where, "tokens"),
        units_quota=str(row.get("units_quota") or ""),
        requests_per_minute=_count(row, "requests_per_minute", where, "requests"),
        copies_to=_texts(row.get("copies_to"), f"{where}.copies_to"),
        legacy=_day(row.get("legacy"), f"{where}.legacy"),
        ends=_day(row.get("ends"), f"{where}.ends"),
        refuses=_texts(row.get("refuses"), f"{where}.refuses"),
        reasons=_flag(row, "reasons", where),
        judges=_flag(row, "judges", where, default=True),
    )


def _family(row: Any, where: str) -> Family:
    if not isinstance(row, Mapping) or set(row) - set(Family.__slots__):
        raise _wrong(where, f"takes {', '.join(Family.__slots__)}")
    form: Any = row.get("fine_tuning") or ""
    if form and form not in get_args(Form):
        raise _wrong(f"{where}.fine_tuning", f"is none of {', '.join(get_args(Form))}")
    return Family(_flag(row, "multi_turn", where), form, _count(row, "most_records", where, "records"))


def _count(row: Mapping[str, Any], name: str, where: str, of: str) -> int | None:
    value = row.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise _wrong(f"{where}.{name}", f"is no number of {of}")
    return value


def _flag(row: Mapping[str, Any], name: str, where: str, *, default: bool = False) -> bool:
    value = row.get(name, default)
    if not isinstance(value, bool):
        raise _wrong(f"{where}.{name}", "is neither true nor false")
    return value


def _pair(row: Mapping[str, Any], number: int) -> Pair:
    where = f"pairs[{number}]"
    texts = ("teacher", "student", "region")
    if set(row) - set(Pair.__slots__) or not all(
        isinstance(row.get(name), str) and row[name] for name in texts
    ):
        raise _wrong(where, f"needs {', '.join(texts)} and takes {', '.join(Pair.__slots__)}")
    if not all(isinstance(row.get(name, False), bool) for name in ("profile_only", "on_demand_only")):
        raise _wrong(where, "has a flag that is neither true nor false")
    if row.get("trust", "documented") not in get_args(Trust):
        raise _wrong(f"{where}.trust", f"is none of {', '.join(get_args(Trust))}")
    return Pair(**row)


def _written(row: Model | Pair | Family) -> dict[str, Any]:
    """Return a row as it is written in the file: what has its default is left out."""
    told = {
        part.name: getattr(row, part.name) for part in fields(row) if getattr(row, part.name) != part.default
    }
    return {name: list(value) if isinstance(value, tuple) else value for name, value in told.items()}

"""The user's table of models, from a path or S3; what lies over the packaged one. The one loader of all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airflow_distill.aws.gateways import AwsGateways, store_for
from airflow_distill.errors import ConfigurationError
from airflow_distill.remote.records import spelled
from airflow_distill.stages.model_table import ModelTable, read_table, using
from airflow_distill.stages.storage import LocalStore, ObjectMissingError


def read_models(gateways: AwsGateways | None, uri: str | None) -> ModelTable | None:
    """Return the user's own table, or None when none is named.

    :param gateways: needed for a table in S3 only; None asks the SDK's own credential chain.
    :raises ConfigurationError: the table is missing, not JSON, or has an entry of the wrong form.
    """
    from airflow_distill.aws.gateways import gateways_from_session

    if not uri:
        return None
    try:
        if uri.startswith("s3://"):
            return read_table(store_for(gateways or gateways_from_session(), uri).read(uri), uri)
        return read_table(LocalStore().read(str(Path(uri).expanduser())), uri)
    except ObjectMissingError as error:
        raise ConfigurationError(
            f"models: there is no table at {uri}.",
            hint="Give its path or s3:// URI; `airflow-distill models list --json` prints a table of the right form.",
        ) from error


@contextmanager
def models_in_force(gateways: AwsGateways | None, uri: str | None) -> Iterator[ModelTable]:
    """Let the user's table lie over the packaged one for a task or a command."""
    with using(read_models(gateways, uri)) as table:
        yield table


LIFECYCLES = ("ACTIVE", "LEGACY")


def lifecycle_of(model: Mapping[str, Any]) -> str:
    """Return a model's lifecycle status as the service spells it; `ACTIVE` when the answer names none."""
    return spelled((model.get("modelLifecycle") or {}).get("status") or "ACTIVE", LIFECYCLES)


def compare_with_account(table: ModelTable, gateways: AwsGateways) -> list[str]:
    """Return what the account says differently, one sentence each: models offered, lifecycle, profiles.

    Asks `ListFoundationModels` and `ListInferenceProfiles` once. Only what the account's Region can know is compared.
    """
    region = gateways.bedrock.region
    told: list[str] = []
    offered: dict[str, dict[str, Any]] = {
        str(model.get("modelId") or ""): model
        for model in gateways.bedrock.list_foundation_models(byCustomizationType="DISTILLATION")
        if model.get("modelId")
    }
    everything = {
        str(model.get("modelId") or ""): model for model in gateways.bedrock.list_foundation_models()
    }
    here = [pair for pair in table.pairs if pair.region == region and pair.trust != "withdrawn"]
    students = sorted({pair.student for pair in here})
    told += [
        f"{student} is in the table and {region} does not offer it for distillation"
        for student in students
        if student not in offered
    ]
    told += [
        f"{region} offers {model} for distillation and no pair of the table names it"
        for model in sorted(set(offered) - set(students))
    ]
    for pair in here:
        model = everything.get(pair.teacher)
        if model is None:
            told.append(f"the teacher {pair.teacher} is in the table and {region} does not list it")
        elif (status := lifecycle_of(model)) != "ACTIVE":
            told.append(f"the teacher {pair.teacher} is {status.lower()}")
    listed = gateways.bedrock.iter_inference_profiles(typeEquals="SYSTEM_DEFINED")
    profiles = {str(each.get("inferenceProfileId") or "") for each in listed}
    told += [
        f"profile {profile} begins with a prefix that the table does not know"
        for profile in sorted(profiles)
        if profile.count(".") > 1 and not table.prefix.match(profile)
    ]
    return list(dict.fromkeys(told))

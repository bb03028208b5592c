"""The calls that a live host answered for its callers, from the invocation logs, redacted as in the harvest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_distill.aws.gateways import AwsGateways, store_for

if TYPE_CHECKING:
    from airflow_distill.stages.dataset.records import Example
    from airflow_distill.stages.logs.harvest import Harvest
    from airflow_distill.stages.logs.records import Interaction
    from airflow_distill.stages.logs.shard_file import Redact

WATCHED = "watched.student"
"""What the live host's ARN is resolved to while its calls are read; the same base model's other calls are not its own."""


def calls_of_host(
    gateways: AwsGateways,
    *,
    place: tuple[str, str],
    logs: str,
    host_arn: str,
    window: tuple[str, str],
    salt: str,
    limit: int,
    redact: Redact | None,
) -> Harvest:
    """Return what callers asked a host in a window: the distinct prompts with the smallest keyed hash, and all counts.

    :param place: root and workload, whose tombstones keep the forgotten out.
    :param window: start and end (exclusive), ISO 8601, UTC.
    """
    from airflow_distill.stages.forgotten import read_tombstones
    from airflow_distill.stages.logs.harvest import harvest_logs
    from airflow_distill.stages.logs.selection import Selection, Window

    return harvest_logs(
        store_for(gateways, logs),
        logs,
        Selection(model=WATCHED, window=Window.parse(*window), mapping={host_arn: WATCHED}),
        salt=salt,
        limit=limit,
        redact=redact,
        forgotten=read_tombstones(store_for(gateways, place[0]), *place),
    )


def example_of(item: Interaction, answer: str | None) -> Example:
    """Return a logged prompt as an example with this answer as its reference."""
    from airflow_distill.stages.dataset.records import Example, Turn

    return Example(
        tuple(Turn(turn.role, turn.text) for turn in item.turns),
        answer=answer,
        system=item.system,
        metadata=tuple(sorted(dict(item.metadata).items())),
    )

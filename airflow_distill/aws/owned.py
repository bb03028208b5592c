"""Looks whose a job is before it is adopted: by its tags, and for one without a root tag by where it writes."""

from __future__ import annotations

from collections.abc import Callable

from airflow_distill.aws.bedrock import BedrockGateway
from airflow_distill.remote.ownership import Owner
from airflow_distill.remote.records import JobSnapshot


def only_ours(bedrock: BedrockGateway, owner: Owner, folder: str) -> Callable[[JobSnapshot], None]:
    """Return what makes sure that a job is the owner's; one of an earlier version that writes below ours is tagged anew.

    :param folder: the folder under the owner's root that such jobs write to.
    """

    def inspect(found: JobSnapshot) -> None:
        """:raises OwnershipError: it belongs to somebody else, whom the message names."""
        tags = bedrock.tags(found.arn)
        claim = owner.claim(tags)
        if claim == "ours":
            return
        writes_to = str(found.details.get("output_uri") or "")
        if claim == "foreign" or not writes_to.startswith(folder.rstrip("/") + "/"):
            raise owner.refuse(f"{found.kind} {found.name} ({found.arn})", tags)
        bedrock.tag(found.arn, owner.tags)

    return inspect

"""Whose a resource is, by its tags alone: the workload and the digest of the root decide, and an error names the owner."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_distill.errors import OwnershipError
from airflow_distill.remote import identity
from airflow_distill.remote.ownership import Owner, whose

PROD, STAGING = "s3://acme/prod", "s3://acme/staging"
OWNER = Owner("tickets", PROD)

names = st.text("abcdefgh_-0123456789", min_size=1, max_size=30)
roots = st.text("abcdefgh/-0123456789", min_size=1, max_size=60).map(lambda path: f"s3://b/{path}x")


def tags(workload: str = "tickets", root: str = PROD) -> dict[str, str]:
    return identity.resource_tags(workload, "loop/run-1", "platform", root=root)


def test_the_same_workload_under_another_root_is_somebody_else() -> None:
    assert OWNER.claim(tags()) == "ours"
    assert OWNER.claim(tags(root=STAGING)) == "foreign"
    assert OWNER.claim(tags("others")) == "foreign"


def test_what_was_made_before_roots_were_written_is_neither_ours_nor_foreign() -> None:
    assert OWNER.claim(tags(root="")) == "unmarked"
    assert OWNER.claim({"team": "search"}) == "foreign"


def test_a_temporary_host_belongs_to_the_airflow_whose_run_made_it_and_everything_else_to_the_root() -> None:
    def made(airflow: str, temporary: bool) -> dict[str, str]:
        return identity.resource_tags("tickets", "r", "o", root=PROD, airflow=airflow, temporary=temporary)

    here = Owner("tickets", PROD, "here")
    assert here.claim(made("here", True)) == "ours"
    assert here.claim(made("there", True)) == "foreign"
    assert here.claim(made("there", False)) == "ours", "a job is paid once, a live host goes on"
    assert here.claim(made("", True)) == "ours", "made before Airflows had ids"
    assert OWNER.claim(made("there", True)) == "ours", "a person, or the reaper, asks"
    assert "Airflow there" in str(here.refuse("host h", made("there", True)))


def test_a_run_has_one_name_among_those_of_all_airflows() -> None:
    named = identity.runner_name("loop/run-1", "here")
    assert identity.run_and_airflow(named) == ("loop/run-1", "here")
    assert identity.run_and_airflow("loop/run-1") == ("loop/run-1", "")
    assert identity.run_and_airflow("cli/ann@desk") == ("cli/ann@desk", "")
    assert identity.runner_name("cli/ann", "") == "cli/ann"
    assert identity.is_same_runner(named, "loop/run-1")
    assert not identity.is_same_runner(named, "there@loop/run-1")
    assert not identity.is_same_runner(named, "here@loop/run-2")


def test_a_caller_without_a_root_owns_only_what_names_no_root() -> None:
    nobody = Owner("tickets")
    assert nobody.claim(tags(root="")) == "ours"
    assert nobody.claim(tags()) == "foreign"


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            tags(root=STAGING),
            ["workload tickets", f"under root {STAGING}", "run loop/run-1", "owner platform"],
        ),
        ({"team": "search"}, ["does not use this package", "team=search"]),
        (tags(root=""), ["carries no root tag", identity.TAG_ROOT, PROD]),
    ],
)
def test_a_refusal_says_whose_it_is_and_what_to_do(found: dict[str, str], words: list[str]) -> None:
    error = OWNER.refuse("deployment: throughput t-1", found)
    assert isinstance(error, OwnershipError)
    assert not error.retryable
    assert all(word in str(error) for word in words)


def test_nobody_is_named_when_there_are_no_tags() -> None:
    assert whose({}) == "somebody who does not use this package (tags: none)"


@given(names, names, roots, roots)
def test_two_owners_never_share_a_name_or_a_claim(one: str, other: str, here: str, there: str) -> None:
    mine, theirs = Owner(one, here), Owner(other, there)
    same = one == other and here.rstrip("/") == there.rstrip("/")
    assert (mine.claim(theirs.tags) == "ours") is same
    for make in (
        lambda owner: identity.host_name(owner.workload, "live", "k", root=owner.root),
        lambda owner: identity.job_name(owner.workload, "d", "t", "s", root=owner.root),
        lambda owner: identity.custom_model_name(owner.workload, "d", "t", "s", root=owner.root),
        lambda owner: identity.evaluation_name(owner.workload, "d", "m", root=owner.root),
        lambda owner: identity.copy_name(owner.workload, "m", "us-east-1", root=owner.root),
    ):
        assert (make(mine) == make(theirs)) is same


@given(roots)
def test_a_root_tag_is_a_tag_value_that_keeps_its_digest(root: str) -> None:
    value = tags(root=root)[identity.TAG_ROOT]
    assert value.startswith(identity.root_mark(root) + " ")
    assert Owner("tickets", root + "/").claim(tags(root=root)) == "ours"


def test_names_without_a_root_are_those_of_earlier_versions() -> None:
    """What was bought before an upgrade must be found by its old name."""
    assert identity.job_name("support_tickets", "d1", "t", "s") != identity.job_name(
        "support_tickets", "d1", "t", "s", root=PROD
    )
    assert (
        identity.host_name("w", "live", "k")
        == "w-live-" + identity.fingerprint("host", "w", "live", "k") + "-1"
    )

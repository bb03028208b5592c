"""The ground of the contract, one for the session."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from airflow_distill.sandbox import Sandbox
from airflow_distill.sandbox.world import GRANTED_UNITS
from tests.contract.ground import MAY_SPEND, ON_AWS, Ground


@pytest.fixture
def ground(request: pytest.FixtureRequest) -> Ground:
    """An empty sandbox with bucket and role, or an AWS account as it is."""
    if ON_AWS:
        return Ground(
            os.environ["AIRFLOW_DISTILL_CONTRACT_BUCKET"], os.environ["AIRFLOW_DISTILL_CONTRACT_ROLE"], None
        )
    sandbox: Sandbox = request.getfixturevalue("bedrock_sandbox")
    return Ground("distill-sandbox", sandbox.prepare(), sandbox)


@pytest.fixture(scope="module")
def story_ground() -> Iterator[Ground]:
    """A ground of its own for a story that many tests read."""
    if ON_AWS:
        yield Ground(
            os.environ["AIRFLOW_DISTILL_CONTRACT_BUCKET"], os.environ["AIRFLOW_DISTILL_CONTRACT_ROLE"], None
        )
        return
    with Sandbox(log_delay=0.05, quotas=GRANTED_UNITS) as sandbox:
        sandbox.reset()
        sandbox.prepare("west-sandbox", region="us-west-2")
        yield Ground("distill-sandbox", sandbox.prepare(), sandbox)


@pytest.fixture
def spending() -> None:
    """Skip on AWS unless spending is allowed."""
    if not MAY_SPEND:
        pytest.skip("creates what AWS bills; set AIRFLOW_DISTILL_CONTRACT_SPEND=yes")

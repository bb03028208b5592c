"""Many waits share one poll; failures are values; the last one out closes the poller."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest

from airflow_distill.remote.polling import Look
from airflow_distill.triggers import poller
from airflow_distill.triggers.poller import PollKey, pollers, subscribe
from tests.triggers.fake_bedrock import BEGIN, FakeBedrock, client_error, no_connection

pytestmark = pytest.mark.airflow

KEY = PollKey("customization-job", "aws_default", "us-east-1", "None", "null")


async def take(bedrock: FakeBedrock, arn: str, until: Callable[[Look], bool], **kwargs) -> list[Look]:
    """Wait for one job and return its looks up to the first that satisfies `until`."""
    looks: list[Look] = []
    arguments = {"build": bedrock.gateway, "period": 0.05, "since": BEGIN, **kwargs}
    async with subscribe(KEY, arn, **arguments) as waiter:
        while True:
            look = await waiter.next(5.0)
            assert look is not None, "no look in five seconds"
            looks.append(look)
            if until(look):
                return looks


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - the fake service has no event to wait for
        await asyncio.sleep(0.02)


def ended(look: Look) -> bool:
    return look.snapshot is not None and look.snapshot.ended


def seen(look: Look) -> bool:
    return look.snapshot is not None


def run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(work())  # type: ignore[arg-type]


def test_a_job_that_has_ended_already_is_seen_at_once_with_its_details():
    bedrock = FakeBedrock()
    arn = bedrock.add("done")
    bedrock.end(arn, outputModelArn="model")

    async def work():
        looks = await take(bedrock, arn, ended, period=600.0)
        assert looks[0].snapshot.details["output_model_arn"] == "model"

    run(work)
    assert bedrock.calls == ["get"]


def test_a_hundred_waits_cost_one_list_a_tick_and_one_get_at_each_end():
    bedrock = FakeBedrock(jobs=100)

    async def work():
        waits = [asyncio.create_task(take(bedrock, arn, ended)) for arn in bedrock.jobs]
        await until(lambda: bedrock.count("list") >= 6)
        assert bedrock.count("get") == 0
        before = bedrock.count("list")
        for arn in bedrock.jobs:
            bedrock.end(arn)
        await asyncio.gather(*waits)
        assert bedrock.count("get") == 100
        assert bedrock.count("list") - before <= 3
        assert not pollers()

    run(work)


def test_a_job_that_goes_on_as_before_wakes_nobody():
    bedrock = FakeBedrock(jobs=3)
    arn = next(iter(bedrock.jobs))

    async def work():
        others = [asyncio.create_task(take(bedrock, other, ended)) for other in list(bedrock.jobs)[1:]]
        async with subscribe(KEY, arn, build=bedrock.gateway, period=0.05, since=BEGIN) as waiter:
            first = await waiter.next(5.0)
            assert first is not None
            assert first.snapshot is not None
            before = bedrock.count("list")
            assert await waiter.next(0.5) is None
            assert bedrock.count("list") > before
            bedrock.end(arn)
            last = await waiter.next(5.0)
            assert last is not None
            assert ended(last)
        for other in others:
            other.cancel()

    run(work)


def test_trouble_that_goes_on_is_told_again_because_its_duration_decides():
    bedrock = FakeBedrock(jobs=1)
    bedrock.fail = lambda method: client_error("AccessDeniedException", 403)

    async def work():
        async with subscribe(KEY, next(iter(bedrock.jobs)), build=bedrock.gateway, period=0.05) as waiter:
            for _ in range(3):
                look = await waiter.next(5.0)
                assert look is not None
                assert look.trouble is not None

    run(work)


def test_pages_are_read_only_until_everything_wanted_was_seen():
    bedrock = FakeBedrock(jobs=50, page_size=10)
    newest = list(bedrock.jobs)[-4:]

    async def work():
        await asyncio.gather(*(take(bedrock, arn, seen) for arn in newest))

    run(work)
    assert bedrock.count("list") == 1


def test_what_the_list_does_not_show_is_asked_for_by_itself():
    bedrock = FakeBedrock(jobs=5)
    lost = list(bedrock.jobs)[2]
    bedrock.hidden = {lost}

    async def work():
        await asyncio.gather(*(take(bedrock, arn, seen) for arn in bedrock.jobs))

    run(work)
    assert bedrock.count("get") >= 1


def test_waits_that_do_not_know_their_beginning_learn_it_from_the_first_look():
    bedrock = FakeBedrock(jobs=5)

    async def work():
        waits = [asyncio.create_task(take(bedrock, arn, ended, since=None)) for arn in bedrock.jobs]
        await until(lambda: bedrock.count("list") >= 2)
        assert bedrock.count("get") == 5
        for arn in bedrock.jobs:
            bedrock.end(arn)
        await asyncio.gather(*waits)

    run(work)


def test_a_list_that_is_denied_is_replaced_by_gets():
    bedrock = FakeBedrock(jobs=5)
    bedrock.fail = lambda method: client_error("AccessDeniedException", 403) if method == "list" else None

    async def work():
        waits = [asyncio.create_task(take(bedrock, arn, ended)) for arn in bedrock.jobs]
        await until(lambda: bedrock.count("get") >= 15)
        assert bedrock.count("list") == 1
        for arn in bedrock.jobs:
            bedrock.end(arn)
        await asyncio.gather(*waits)

    run(work)


@pytest.mark.parametrize(
    "error", [client_error("ThrottlingException", 429), no_connection(), RuntimeError("odd")]
)
def test_trouble_is_told_to_every_waiter_as_a_value(error):
    bedrock = FakeBedrock(jobs=4)
    bedrock.fail = lambda method: error

    async def work():
        looks = await asyncio.gather(
            *(take(bedrock, arn, lambda look: look.trouble is not None) for arn in bedrock.jobs)
        )
        assert all(look[-1].snapshot is None for look in looks)

    run(work)


def test_ticks_slow_down_while_the_service_throttles_and_recover():
    bedrock = FakeBedrock(jobs=4)
    bedrock.fail = lambda method: client_error("ThrottlingException", 429)

    async def work():
        waits = [asyncio.create_task(take(bedrock, arn, seen)) for arn in bedrock.jobs]
        await asyncio.sleep(1.0)
        assert len(bedrock.calls) <= 8, "a steady period of 0.05 s would have made 20"
        bedrock.fail = lambda method: None
        await asyncio.gather(*waits)

    run(work)


def test_expired_credentials_build_the_client_anew():
    bedrock = FakeBedrock(jobs=4)
    built: list[int] = []

    def build():
        built.append(1)
        return bedrock.gateway()

    bedrock.fail = lambda method: client_error("ExpiredTokenException", 403) if len(built) == 1 else None

    async def work():
        await asyncio.gather(*(take(bedrock, arn, seen, build=build) for arn in bedrock.jobs))

    run(work)
    assert len(built) == 2


def test_a_client_that_cannot_be_built_is_trouble_and_is_tried_again():
    bedrock = FakeBedrock(jobs=1)
    tries: list[int] = []

    def build():
        tries.append(1)
        if len(tries) < 3:
            raise RuntimeError("no connection of that name yet")
        return bedrock.gateway()

    async def work():
        looks = await take(bedrock, next(iter(bedrock.jobs)), seen, build=build)
        assert [look.snapshot is None for look in looks] == [True, True, False]

    run(work)


def test_a_cancelled_wait_leaves_the_others_alone_even_if_it_was_the_first():
    bedrock = FakeBedrock(jobs=4)

    async def work():
        waits = [asyncio.create_task(take(bedrock, arn, ended)) for arn in bedrock.jobs]
        await asyncio.sleep(0.2)
        waits[0].cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waits[0]
        (only,) = pollers().values()
        assert only.waiters == 3
        for arn in bedrock.jobs:
            bedrock.end(arn)
        await asyncio.gather(*waits[1:])
        assert not pollers()
        await asyncio.sleep(0.05)
        calls = len(bedrock.calls)
        await asyncio.sleep(0.2)
        assert len(bedrock.calls) == calls, "nobody waits, so nobody polls"

    run(work)


def test_two_waits_for_the_same_job_both_hear_of_its_end():
    bedrock = FakeBedrock()
    arn = bedrock.add("one")

    async def work():
        waits = [asyncio.create_task(take(bedrock, arn, ended)) for _ in range(2)]
        await asyncio.sleep(0.2)
        bedrock.end(arn)
        await asyncio.gather(*waits)

    run(work)


def test_another_connection_or_region_has_a_poller_of_its_own():
    bedrock = FakeBedrock(jobs=1)
    arn = next(iter(bedrock.jobs))

    async def work():
        other = PollKey("customization-job", "other", "us-east-1", "None", "null")
        async with (
            subscribe(KEY, arn, build=bedrock.gateway) as one,
            subscribe(other, arn, build=bedrock.gateway) as two,
        ):
            assert len(pollers()) == 2
            assert await one.next(5.0) is not None
            assert await two.next(5.0) is not None

    run(work)


def test_calls_run_in_worker_threads_and_never_on_the_loop():
    bedrock = FakeBedrock(jobs=5)

    async def work():
        await asyncio.gather(*(take(bedrock, arn, seen) for arn in bedrock.jobs))

    run(work)
    assert "MainThread" not in bedrock.threads


def test_pollers_of_a_closed_loop_are_forgotten():
    bedrock = FakeBedrock(jobs=1)
    for _ in range(3):
        run(lambda: take(bedrock, next(iter(bedrock.jobs)), seen))
    assert all(loop.is_closed() or not known for loop, known in poller._POLLERS.items())


def test_newcomers_are_looked_at_at_once_although_the_period_is_long():
    bedrock = FakeBedrock(jobs=10)
    arns = list(bedrock.jobs)

    async def work():
        first = asyncio.create_task(take(bedrock, arns[0], ended, period=600.0))
        await asyncio.sleep(0.3)
        await asyncio.wait_for(
            asyncio.gather(*(take(bedrock, arn, seen, period=600.0) for arn in arns[1:])), timeout=3.0
        )
        first.cancel()

    run(work)

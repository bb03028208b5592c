"""A call in a thread comes back with its value, and never holds up a loop that closes."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar

import pytest

from airflow_distill.triggers.threads import in_thread

pytestmark = pytest.mark.airflow

WHOSE: ContextVar[str] = ContextVar("WHOSE")


def test_a_call_returns_its_value_or_raises_its_error_and_sees_the_tasks_context():
    async def work() -> tuple[str, str]:
        WHOSE.set("mine")
        with pytest.raises(ZeroDivisionError):
            await in_thread(divmod, 1, 0)
        return await in_thread(lambda word: (WHOSE.get(), word), "said")

    assert asyncio.run(work()) == ("mine", "said")


def test_a_loop_that_closes_does_not_wait_for_a_call_that_hangs():
    begun, back, ended = threading.Event(), threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        back.wait(30)
        ended.set()

    async def work() -> None:
        task = asyncio.create_task(in_thread(hang))
        assert await in_thread(begun.wait, 30)
        assert not task.done()

    asyncio.run(work())
    assert not ended.is_set()
    back.set()
    assert ended.wait(30)

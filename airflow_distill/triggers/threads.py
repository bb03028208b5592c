"""Blocking calls of triggers, in threads that do not hold a triggerer up when it ends.

`asyncio.to_thread` uses the event loop's own threads, and a loop that closes waits for them without a limit. A triggerer
that is told to end stops answering its triggers' questions first (a connection, a secret to mask), so a thread that asks
one then waits for ever, and Airflow kills the process 20 s later; a service that hangs does the same. Threads of a pool
of our own are not waited for.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

MOST_THREADS = 32

_POOLS: WeakKeyDictionary[asyncio.AbstractEventLoop, ThreadPoolExecutor] = WeakKeyDictionary()


async def in_thread(work: Callable[..., T], *args: Any) -> T:
    """Return what a blocking call returns, run in a thread with this task's context variables."""
    loop = asyncio.get_running_loop()
    pool = _POOLS.get(loop)
    if pool is None:
        pool = _POOLS[loop] = ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="distill")
    return await loop.run_in_executor(pool, partial(contextvars.copy_context().run, work, *args))

"""One process of several that share a limit.

It says `ready`, waits for a word, calls the server with so many workers for so many seconds, and tells when each call
started (seconds of the machine's monotonic clock) and how many starts came too late.
"""

import asyncio
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection

import aiohttp

from include.common.database import connect
from include.common.limits.budget import Allowance, Budgets
from include.common.limits.pace import Pace
from include.common.limits.rate_limit import RateLimiter, parse_rate


@dataclass(frozen=True)
class Orders:
    """`budget` is the number of calls that all processes may make together, None for any."""

    database: str
    server: str
    rate: str
    workers: int
    seconds: float
    budget: int | None = None


@dataclass(frozen=True)
class Told:
    """What a process came to."""

    started: list[float]
    given_up: int


def run(orders: Orders, line: Connection) -> None:
    """The whole of the process, at the other end of `line`."""
    asyncio.run(_run(orders, line))


async def _run(orders: Orders, line: Connection) -> None:
    rate = parse_rate(orders.rate)
    assert rate
    engine = connect(orders.database)
    limiter = RateLimiter(engine)
    await asyncio.to_thread(limiter.pause, "key")  # connected before the time counts
    pace = Pace(limiter, "key", rate, f"key {orders.rate}")
    allowance = Allowance(Budgets(engine), "run", orders.budget) if orders.budget is not None else None
    started: list[float] = []
    async with aiohttp.ClientSession() as session:
        line.send("ready")
        await asyncio.to_thread(line.recv)
        end = time.monotonic() + orders.seconds

        async def work() -> None:
            while time.monotonic() < end:
                if allowance and not await allowance.take():
                    return
                await pace.start()
                started.append(time.monotonic())
                async with session.get(orders.server) as answer:
                    if answer.status == 429:
                        await pace.defer(float(answer.headers["Retry-After"]))

        await asyncio.gather(*(work() for _ in range(orders.workers)))
    await pace.close()
    if allowance:
        await allowance.close()
    line.send(Told(started, pace.given_up))

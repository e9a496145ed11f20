"""One process of several that share a limit: python -m tests.paced_process '<JSON of Orders>'.

It says `ready`, waits for a line, calls the server with so many workers for so many seconds, and says in one line of
JSON when each call started (seconds of the machine's monotonic clock) and how many starts came too late.
"""

import asyncio
import json
import sys
import time
from dataclasses import dataclass

import aiohttp

from include.common.database import connect
from include.common.limits.budget import Allowance, Budgets
from include.common.limits.pace import Pace
from include.common.limits.rate_limit import RateLimiter, parse_rate


@dataclass
class Orders:
    """`budget` is the number of calls that all processes may make together, None for any."""

    database: str
    server: str
    rate: str
    workers: int
    seconds: float
    budget: int | None = None


async def run(orders: Orders) -> None:
    rate = parse_rate(orders.rate)
    assert rate
    engine = connect(orders.database)
    limiter = RateLimiter(engine)
    await asyncio.to_thread(limiter.pause, "key")  # connected before the time counts
    pace = Pace(limiter, "key", rate, f"key {orders.rate}")
    allowance = Allowance(Budgets(engine), "run", orders.budget) if orders.budget is not None else None
    started: list[float] = []
    async with aiohttp.ClientSession() as session:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
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
    print(json.dumps({"started": started, "given_up": pace.given_up}), flush=True)


if __name__ == "__main__":
    asyncio.run(run(Orders(**json.loads(sys.argv[1]))))

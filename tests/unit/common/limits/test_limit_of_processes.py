"""One limit over four real processes, and a server on loopback that counts what arrives.

What is guaranteed is the distance of starts, so that is held exactly, on the clock that the processes share. When a
call arrives also depends on how busy the machine is, so the server's count has a tenth of a second of grace.
"""

import asyncio
import json
import os
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from include.common.database import connect
from include.common.limits.budget import Budgets
from include.common.limits.rate_limit import parse_rate

ROOT = Path(__file__).parents[4]
PROCESSES, WORKERS = 4, 5
GRACE = 0.1
# A process may be held between its last look at the clock and the note of the time.
NOTED = 0.005


@dataclass
class Server:
    """When each call arrived; the call numbered `refused` (from 1) is told to retry after 3 s."""

    url: str = ""
    refused: int = 0
    arrived: list[float] = field(default_factory=list)
    refused_at: float = 0.0

    async def answer(self, _: web.Request) -> web.Response:
        now = time.monotonic()
        self.arrived.append(now)
        if len(self.arrived) == self.refused:
            self.refused_at = now
            return web.Response(status=429, headers={"Retry-After": "3"})
        return web.Response()


@pytest.fixture
async def server():
    server, app = Server(), web.Application()
    app.router.add_get("/", server.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    yield server
    await runner.cleanup()


@pytest.fixture
def database(database_url):
    engine = connect(database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM rate_limits")
        connection.exec_driver_sql("DELETE FROM budgets")
    engine.dispose()
    return database_url


@asynccontextmanager
async def processes(**orders):
    """Four processes that have begun to call; killed at the end, whatever happened."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.paced_process", json.dumps({"workers": WORKERS, **orders})]
    running = [
        await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=environment, cwd=ROOT
        )
        for _ in range(PROCESSES)
    ]
    try:
        for process in running:
            assert await process.stdout.readline() == b"ready\n"
        for process in running:
            process.stdin.write(b"go\n")
        yield running
    finally:
        for process in running:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def told_by(running):
    """When each call of the processes started, in order, and how many starts came too late."""
    told = [json.loads(await process.stdout.readline()) for process in running]
    assert all(each["started"] for each in told), "every process had its part"
    return sorted(start for each in told for start in each["started"]), sum(each["given_up"] for each in told)


def most_in_a_window(times, seconds):
    """The largest number of times in any window of `seconds`, which does not include its end."""
    first, most = 0, 0
    for index, moment in enumerate(times):
        while moment - times[first] >= seconds:
            first += 1
        most = max(most, index - first + 1)
    return most


def test_a_window_is_counted_without_its_end():
    assert most_in_a_window([0.0, 0.5, 1.0, 1.2, 1.4, 1.9], 1.0) == 4


@pytest.mark.parametrize(("rate", "permits", "period"), [("50/second", 50, 1.0), ("100/2 seconds burst 20", 119, 2.0)])
async def test_four_processes_keep_one_limit_and_use_it(database, server, rate, permits, period):
    async with processes(database=database, server=server.url, rate=rate, seconds=6.0) as running:
        started, given_up = await told_by(running)
    assert len(started) == len(server.arrived)
    assert most_in_a_window(started, period - NOTED) <= permits
    assert most_in_a_window(server.arrived, period - GRACE) <= permits
    # Each start on the time line was used, or came too late on a busy machine: those are few, and none is wasted.
    possible = (started[-1] - started[0]) * 50
    assert len(started) - 1 + given_up >= 0.97 * possible
    assert given_up <= 0.2 * possible


async def test_one_answer_429_stops_all_four_processes_and_then_they_go_on(database, server):
    server.refused = 40
    async with processes(database=database, server=server.url, rate="50/second", seconds=6.0) as running:
        started, _ = await told_by(running)
    pause = [start - server.refused_at for start in started if start > server.refused_at]
    assert [start for start in pause if GRACE < start < 3.0] == []
    after = [start for start in pause if start >= 3.0]
    assert len(after) > 50
    assert after[0] < 3.5
    assert most_in_a_window(started, 1.0 - NOTED) <= 50


async def test_a_process_that_is_killed_delays_the_others_by_its_starts_at_most(database, server):
    # At this rate the twenty workers wait 2 s each: every process holds up to five starts at any moment.
    rate = "10/second"
    async with processes(database=database, server=server.url, rate=rate, seconds=7.0) as running:
        await asyncio.sleep(3.0)
        running[0].kill()
        killed_at = time.monotonic()
        started, _ = await told_by(running[1:])
    after = [start for start in started if start > killed_at]
    gaps = [later - earlier for earlier, later in zip([killed_at, *after], after, strict=False)]
    assert max(gaps) <= (WORKERS + 1) * parse_rate(rate).interval + GRACE
    lost = (started[-1] - killed_at) * 10 * 0.97 - len(after)
    assert lost <= WORKERS + 2  # and one at either end of the time looked at


async def test_four_processes_make_exactly_as_many_calls_as_their_budget_has(database, server):
    async with processes(
        database=database, server=server.url, rate="100000/second", seconds=60.0, budget=403
    ) as running:
        started, _ = await told_by(running)
    assert len(started) == len(server.arrived) == 403
    engine = connect(database)
    assert Budgets(engine).used("run") == 403
    engine.dispose()

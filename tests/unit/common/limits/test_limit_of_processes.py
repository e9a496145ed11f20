"""One limit over four real processes, and a server on loopback that counts what arrives.

What is guaranteed is the distance of starts, so that is held exactly, on the clock that the processes share. When a
call arrives also depends on how busy the machine is, so the server's count has a tenth of a second of grace.
"""

import asyncio
import multiprocessing
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from include.common.database import connect
from include.common.limits.rate_limit import parse_rate
from tests import paced_process
from tests.limits import used
from tests.paced_process import Orders

PROCESSES, WORKERS = 4, 5
GRACE = 0.1
# A process may be held between its last look at the clock and the note of the time.
NOTED = 0.005
# Processes of their own that need not import anything: a fork of a server that has.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([paced_process.__name__])
# One after the other: eight processes on two cores would be late by more than what is granted here.
pytestmark = pytest.mark.xdist_group("limit of processes")


@dataclass
class Server:
    """When each call arrived; the call numbered `refused` (from 1) is told to retry after 1 s."""

    url: str = ""
    refused: int = 0
    arrived: list[float] = field(default_factory=list)
    refused_at: float = 0.0

    async def answer(self, _: web.Request) -> web.Response:
        now = time.monotonic()
        self.arrived.append(now)
        if len(self.arrived) == self.refused:
            self.refused_at = now
            return web.Response(status=429, headers={"Retry-After": "1"})
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


class Caller:
    """A process that calls, and the line to it."""

    def __init__(self, orders):
        self._line, theirs = FORKS.Pipe()
        self._process = FORKS.Process(target=paced_process.run, args=(orders, theirs))
        self._process.start()
        theirs.close()  # its end of the line alone: where it dies, reading ends

    async def hear(self):
        return await asyncio.to_thread(self._line.recv)

    def go(self):
        self._line.send("go")

    def kill(self):
        self._process.kill()
        self._process.join()


@asynccontextmanager
async def callers(**orders):
    """Four processes that have begun to call; killed at the end, whatever happened."""
    running = [Caller(Orders(workers=WORKERS, **orders)) for _ in range(PROCESSES)]
    try:
        for caller in running:
            assert await caller.hear() == "ready"
        for caller in running:
            caller.go()
        yield running
    finally:
        for caller in running:
            caller.kill()


async def told_by(running):
    """When each call of the processes started, in order, and how many starts came too late."""
    told = [await caller.hear() for caller in running]
    assert all(each.started for each in told), "every process had its part"
    return sorted(start for each in told for start in each.started), sum(each.given_up for each in told)


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
    async with callers(database=database, server=server.url, rate=rate, seconds=2 * period + 1) as running:
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
    async with callers(database=database, server=server.url, rate="50/second", seconds=3.5) as running:
        started, _ = await told_by(running)
    pause = [start - server.refused_at for start in started if start > server.refused_at]
    assert [start for start in pause if GRACE < start < 1.0] == []
    after = [start for start in pause if start >= 1.0]
    assert len(after) > 50
    assert after[0] < 1.5
    assert most_in_a_window(started, 1.0 - NOTED) <= 50


async def test_a_process_that_is_killed_delays_the_others_by_its_starts_at_most(database, server):
    # At this rate the twenty workers wait 2 s each: every process holds up to five starts at any moment.
    rate = "10/second"
    async with callers(database=database, server=server.url, rate=rate, seconds=4.5) as running:
        await asyncio.sleep(1.5)
        running[0].kill()
        killed_at = time.monotonic()
        started, _ = await told_by(running[1:])
    after = [start for start in started if start > killed_at]
    gaps = [later - earlier for earlier, later in zip([killed_at, *after], after, strict=False)]
    assert max(gaps) <= (WORKERS + 1) * parse_rate(rate).interval + GRACE
    lost = (started[-1] - killed_at) * 10 * 0.97 - len(after)
    assert lost <= WORKERS + 2  # and one at either end of the time looked at


async def test_four_processes_make_exactly_as_many_calls_as_their_budget_has(database, server):
    async with callers(database=database, server=server.url, rate="100000/second", seconds=60.0, budget=403) as running:
        started, _ = await told_by(running)
    assert len(started) == len(server.arrived) == 403
    engine = connect(database)
    assert used(engine, "run") == 403
    engine.dispose()

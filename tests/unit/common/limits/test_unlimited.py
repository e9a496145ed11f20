"""Calls without a rate: at once, but for the pauses that the API asks for."""

import asyncio

import pytest

from include.common.limits.unlimited import LOOK_EVERY, Unlimited
from tests.virtual_time import VirtualTime, at_once


@pytest.fixture
def time():
    return VirtualTime()


class SharedPause:
    """The limiter's row as far as pauses go; counts how often it is looked at."""

    def __init__(self, time):
        self.time = time
        self.until = 0.0
        self.looks = 0

    def pause(self, key):
        self.looks += 1
        return max(0.0, self.until - self.time.now)

    def defer(self, key, seconds):
        self.until = max(self.until, self.time.now + seconds)


def paces(time, limiter=None):
    return Unlimited(limiter, "csv_api none", clock=time, sleep=time.sleep, thread=at_once)


async def started_after(time, pace, seconds):
    """Whether a call that asks now has started when so many seconds have passed."""
    asking = asyncio.create_task(pace.start())
    await time.pass_by(seconds)
    started = asking.done()
    asking.cancel()
    return started


async def test_calls_start_at_once(time):
    pace = paces(time)
    for _ in range(100):
        await pace.start()
    assert pace.waiting == 0


async def test_a_pause_holds_the_calls_of_this_process(time):
    pace = paces(time)
    await pace.defer(10)
    asking = asyncio.create_task(pace.start())
    await time.pass_by(4)
    assert pace.waiting == pytest.approx(6)
    assert not asking.done()
    await time.pass_by(6)
    assert asking.done()
    assert pace.waiting == 0


async def test_a_longer_pause_that_comes_meanwhile_counts(time):
    pace = paces(time)
    await pace.defer(10)
    asking = asyncio.create_task(pace.start())
    await time.pass_by(4)
    await pace.defer(9)  # until 13
    await time.pass_by(8)
    assert not asking.done()
    await time.pass_by(1)
    assert asking.done()


async def test_a_pause_of_one_process_holds_the_others(time):
    limiter = SharedPause(time)
    one, other = paces(time, limiter), paces(time, limiter)
    await other.start()
    await one.defer(5)
    time.stall(LOOK_EVERY)
    assert not await started_after(time, other, 4)
    assert await started_after(time, other, 1)


async def test_the_row_is_looked_at_once_in_a_while_however_many_calls_there_are(time):
    limiter = SharedPause(time)
    pace = paces(time, limiter)
    for _ in range(1000):
        await pace.start()
    assert limiter.looks == 1
    time.stall(LOOK_EVERY)
    await pace.start()
    assert limiter.looks == 2


async def test_the_seconds_that_calls_waited_in_pauses_are_summed_over_all_of_them(time):
    pace = paces(time)
    await pace.start()
    await pace.defer(10)
    asking = [asyncio.create_task(pace.start()) for _ in range(2)]
    await time.pass_by(10)
    assert all(one.done() for one in asking)
    assert pace.waited == pytest.approx(20)

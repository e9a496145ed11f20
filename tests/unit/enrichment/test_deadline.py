"""The deadlines of many calls, held against what `asyncio.timeout` does. Times are fractions of a second."""

import asyncio

import pytest

from include.enrichment.deadline import Deadlines

FOREVER = 60


@pytest.fixture
async def deadlines():
    made = Deadlines(0.02)
    yield made
    made.close()


async def wait(deadlines: Deadlines, seconds: float) -> str:
    with deadlines.start():
        await asyncio.sleep(seconds)
    return "in time"


async def test_what_ends_in_time_is_left_alone(deadlines):
    assert await wait(deadlines, 0) == "in time"
    await asyncio.sleep(0.05)
    assert asyncio.current_task().cancelling() == 0


async def test_what_takes_too_long_is_a_timeout_error(deadlines):
    with pytest.raises(TimeoutError):
        await wait(deadlines, FOREVER)
    assert asyncio.current_task().cancelling() == 0


async def test_each_of_many_has_the_whole_time_from_its_own_start(deadlines):
    loop, took = asyncio.get_running_loop(), []

    async def late(delay: float) -> None:
        await asyncio.sleep(delay)
        start = loop.time()
        with pytest.raises(TimeoutError):
            await wait(deadlines, FOREVER)
        took.append(loop.time() - start)

    await asyncio.gather(*(late(number / 300) for number in range(20)))
    assert len(took) == 20
    assert min(took) >= 0.0199


async def test_one_that_ends_does_not_stop_the_clock_of_the_others(deadlines):
    slow = asyncio.ensure_future(wait(deadlines, FOREVER))
    assert await asyncio.gather(*(wait(deadlines, 0.001) for _ in range(5))) == ["in time"] * 5
    with pytest.raises(TimeoutError):
        await slow


async def test_it_can_be_used_again_after_a_rest_without_calls(deadlines):
    assert await wait(deadlines, 0) == "in time"
    await asyncio.sleep(0.05)
    with pytest.raises(TimeoutError):
        await wait(deadlines, FOREVER)


async def test_a_task_that_is_cancelled_stays_cancelled(deadlines):
    task = asyncio.ensure_future(wait(deadlines, FOREVER))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_task_that_is_cancelled_as_its_time_runs_out_stays_cancelled(deadlines):
    task = asyncio.ensure_future(wait(deadlines, FOREVER))
    await asyncio.sleep(0)
    deadline = next(iter(deadlines._running))
    del deadlines._running[deadline]
    deadline.expire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_call_itself_comes_through(deadlines):
    with pytest.raises(KeyError), deadlines.start():
        raise KeyError("a")


async def test_a_hundred_calls_take_one_timer(deadlines, monkeypatch):
    loop, set_at = asyncio.get_running_loop(), []
    call_at = loop.call_at
    monkeypatch.setattr(loop, "call_at", lambda *what, **how: set_at.append(what) or call_at(*what, **how))
    for _ in range(100):
        with deadlines.start():
            pass
    assert len(set_at) == 1

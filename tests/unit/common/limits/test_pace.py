"""The pace of one process: what it reserves, when it lets calls start, what it gives back."""

import asyncio
import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.common.errors import TransientError
from include.common.limits.pace import Pace
from include.common.limits.rate_limit import Rate, RateLimiter
from tests.limits import waits_of
from tests.virtual_time import VirtualTime, at_once

TWO_A_MINUTE = Rate(2, 60)  # a start every 30.5 s, up to 1 s late
HUNDRED_THOUSAND_A_SECOND = Rate(100_000, 1)


class CountingLimiter(RateLimiter):
    """The real limiter, which notes what it was asked."""

    def __init__(self, engine, clock):
        super().__init__(engine, clock)
        self.reserved, self.reads, self.given_back = [], 0, []
        self.error = None

    def reserve(self, key, rate, permits=1):
        self.reserved.append(permits)
        if self.error:
            raise self.error
        return super().reserve(key, rate, permits)

    def read(self, key):
        self.reads += 1
        return super().read(key)

    def give_back(self, key, reservation, unused):
        self.given_back.append(unused)
        super().give_back(key, reservation, unused)


@pytest.fixture
def time():
    return VirtualTime()


@pytest.fixture
def limiter(engine, time):
    return CountingLimiter(engine, time)


def pace_of(limiter, time, rate=TWO_A_MINUTE):
    return Pace(limiter, "csv_api", rate, "csv_api 2/minute", clock=time, sleep=time.sleep, thread=at_once)


class Workers:
    """Workers that each wait for one start, and when they started: seconds since the beginning."""

    def __init__(self, time):
        self.time, self.began = time, time.now
        self.started, self.tasks = [], []

    def come(self, pace, number=1):
        new = [asyncio.create_task(self.work(pace)) for _ in range(number)]
        self.tasks += new
        return new

    async def work(self, pace):
        await pace.start()
        self.started.append(round(self.time.now - self.began, 3))


@pytest.fixture
async def workers(time):
    workers = Workers(time)
    yield workers
    for task in workers.tasks:
        task.cancel()


async def test_workers_that_ask_at_the_same_moment_are_one_reservation(limiter, time, workers):
    workers.come(pace_of(limiter, time), 5)
    await time.pass_by(200)
    assert workers.started == [0, 30.5, 61, 91.5, 122]
    assert limiter.reserved == [5]


async def test_workers_that_ask_while_a_reservation_is_under_way_are_the_next_one(limiter, time, workers):
    pace = pace_of(limiter, time, Rate(50, 1))
    workers.come(pace, 3)
    await asyncio.sleep(0)  # they have asked, and the reservation begins
    await asyncio.sleep(0)
    workers.come(pace, 4)
    await time.pass_by(1)
    assert limiter.reserved == [3, 4]
    assert len(workers.started) == 7


async def test_starts_are_handed_out_in_the_order_of_asking(limiter, time):
    pace, order = pace_of(limiter, time), []

    async def work(number):
        await pace.start()
        order.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(6):
            group.create_task(work(number))
        await time.pass_by(300)
    assert order == [0, 1, 2, 3, 4, 5]


async def calls_one_after_the_other(pace, time, number, apart):
    for _ in range(number):
        await pace.start()
        await time.sleep(apart)


async def test_a_process_far_below_the_limit_takes_what_it_will_use_in_the_next_moment(limiter, time):
    pace = pace_of(limiter, time, HUNDRED_THOUSAND_A_SECOND)
    task = asyncio.create_task(calls_one_after_the_other(pace, time, 1000, apart=0.001))
    await time.pass_by(1.5)
    assert task.done()
    # 1,000 a second for 14 ms, asked for anew when a quarter is left; 50 until its rate is known.
    assert len(limiter.reserved) < 160
    assert max(limiter.reserved) <= 15
    assert sum(limiter.reserved) <= 1000 + 15
    assert pace.given_up == 0


async def test_starts_taken_ahead_that_nobody_needs_are_neither_used_late_nor_called_late(limiter, time):
    pace = pace_of(limiter, time, HUNDRED_THOUSAND_A_SECOND)
    task = asyncio.create_task(calls_one_after_the_other(pace, time, 200, apart=0.001))
    await time.pass_by(0.3)
    assert task.done()
    before = len(limiter.reserved)
    time.stall(5)
    await pace.start()
    assert limiter.reserved[before:] == [1]
    assert pace.given_up == 0


async def test_a_process_that_calls_now_and_then_takes_one_start_at_a_time(limiter, time):
    pace = pace_of(limiter, time, HUNDRED_THOUSAND_A_SECOND)
    task = asyncio.create_task(calls_one_after_the_other(pace, time, 20, apart=0.5))
    await time.pass_by(11)
    assert task.done()
    assert limiter.reserved == [1] * 20


async def test_at_a_fast_limit_workers_that_return_one_by_one_are_reserved_for_together(limiter, time):
    pace = pace_of(limiter, time, Rate(1000, 1))
    tasks = [asyncio.create_task(calls_one_after_the_other(pace, time, 20, apart=0.0)) for _ in range(100)]
    await time.pass_by(2.2)
    assert all(task.done() for task in tasks)
    assert pace.given_up == 0
    assert len(limiter.reserved) < 2000 / 10  # the starts held reach 0.1 s: a reservation in 14 ms


async def test_a_worker_that_is_cancelled_while_it_waits_leaves_its_start_to_the_next(limiter, time, workers):
    _, second, _ = workers.come(pace_of(limiter, time), 3)
    await time.pass_by(1)
    second.cancel()
    await time.pass_by(100)
    assert workers.started == [0, 30.5]
    assert limiter.reserved == [3]


async def test_a_worker_that_is_cancelled_as_it_is_handed_its_start_leaves_it_to_the_next(limiter, time, workers):
    pace = pace_of(limiter, time)
    _, second, _ = workers.come(pace, 3)
    await time.pass_by(30)
    hand = pace._hand

    def hand_and_cancel():
        hand()
        second.cancel()
        pace._hand = hand

    pace._hand = hand_and_cancel
    await time.pass_by(1)
    assert workers.started == [0, 30.5]
    assert second.cancelled()
    assert limiter.reserved == [3]


async def test_a_start_that_comes_too_late_is_given_up_and_reserved_anew(limiter, time, workers):
    pace = pace_of(limiter, time)
    workers.come(pace, 2)
    await time.pass_by(20)
    time.stall(11.6)  # 1.1 s after the second start, which may be 1 s late
    await time.pass_by(60)
    assert workers.started == [0, 61]
    assert limiter.reserved == [2, 1]
    assert pace.given_up == 1


async def test_a_start_that_is_late_by_less_than_the_slack_is_used(limiter, time, workers):
    pace = pace_of(limiter, time)
    workers.come(pace, 2)
    await time.pass_by(20)
    time.stall(11.4)
    await time.pass_by(60)
    assert workers.started == [0, 31.4]
    assert pace.given_up == 0


async def test_a_loop_that_is_busy_after_the_start_was_handed_out_loses_it(limiter, time, workers):
    pace = pace_of(limiter, time)
    workers.come(pace, 2)
    await time.pass_by(1)
    hand = pace._hand

    def hand_and_stall():
        hand()
        pace._hand = hand
        time.stall(1.1)

    pace._hand = hand_and_stall
    await time.pass_by(100)
    assert workers.started == [0, 61]
    assert pace.given_up == 1


async def test_a_pause_that_another_process_was_asked_for_holds_the_next_start(engine, limiter, time, workers):
    workers.come(pace_of(limiter, time), 4)
    await time.pass_by(20)
    RateLimiter(engine, time).defer("csv_api", 50)  # until 70: the starts at 30.5 and 61 are void
    await time.pass_by(200)
    assert workers.started == [0, 91.5, 122, 152.5]
    assert limiter.reserved == [4, 2]


async def test_a_pause_holds_the_other_workers_of_the_process_at_once(limiter, time, workers):
    pace = pace_of(limiter, time, Rate(50, 1))
    workers.come(pace, 3)
    await time.pass_by(0.03)
    assert workers.started == [0, 0.02]
    await pace.defer(10)
    await time.pass_by(20)
    assert workers.started == [0, 0.02, 10.03]


async def test_after_a_pause_the_first_start_is_at_its_end(limiter, time, workers):
    pace = pace_of(limiter, time)
    await pace.defer(100)
    workers.come(pace, 2)
    await time.pass_by(200)
    assert workers.started == [100, 130.5]


async def test_one_read_confirms_all_starts_of_about_the_same_moment(limiter, time, workers):
    pace = pace_of(limiter, time, Rate(2, 60, burst=10))
    await pace.defer(100)
    workers.come(pace, 10)
    await time.pass_by(200)
    assert workers.started == [100] * 10
    assert limiter.reads == 1


async def test_a_start_right_after_its_reservation_needs_no_confirmation(limiter, time, workers):
    workers.come(pace_of(limiter, time), 1)
    await time.pass_by(1)
    assert (len(workers.started), limiter.reads) == (1, 0)


async def test_closing_gives_back_what_is_unused(engine, limiter, time, workers):
    pace = pace_of(limiter, time)
    for task in workers.come(pace, 5)[2:]:
        await time.pass_by(11)
        task.cancel()
    await time.pass_by(30)
    assert workers.started == [0, 30.5]
    await pace.close()
    assert limiter.given_back == [3]
    assert waits_of(RateLimiter(engine, time).reserve("csv_api", TWO_A_MINUTE)) == (0,)


async def test_closing_gives_back_what_is_reserved_only_then(engine, limiter, time, workers):
    pace = pace_of(limiter, time)
    (task,) = workers.come(pace, 1)
    await asyncio.sleep(0)  # it has asked,
    await asyncio.sleep(0)  # the reservation is under way
    task.cancel()
    await pace.close()
    assert (limiter.reserved, limiter.given_back) == ([1], [1])
    assert waits_of(RateLimiter(engine, time).reserve("csv_api", TWO_A_MINUTE)) == (0,)


async def test_closing_gives_back_several_reservations_from_the_last_on(engine, limiter, time, workers):
    pace = pace_of(limiter, time)
    workers.come(pace, 2)
    await time.pass_by(1)
    for task in [*workers.come(pace, 2), workers.tasks[1]]:
        await time.pass_by(1)
        task.cancel()
    await time.settle()
    await pace.close()
    assert (limiter.reserved, limiter.given_back) == ([2, 2], [2, 1])
    assert waits_of(RateLimiter(engine, time).reserve("csv_api", TWO_A_MINUTE)) == pytest.approx([26.5], abs=1e-3)


async def test_a_database_that_is_gone_at_the_end_costs_a_warning(limiter, time, workers, monkeypatch, caplog):
    pace = pace_of(limiter, time)
    for task in workers.come(pace, 2)[1:]:
        await time.pass_by(1)
        task.cancel()

    def gone(*_):
        raise TransientError("the application database cannot be used")

    monkeypatch.setattr(limiter, "give_back", gone)
    await pace.close()
    assert "starts that nobody used are lost: the application database cannot be used" in caplog.text


async def test_closing_with_nothing_held_asks_nobody(limiter, time):
    await pace_of(limiter, time).close()
    assert limiter.given_back == []


async def test_the_seconds_to_the_next_start_are_told(limiter, time, workers):
    pace = pace_of(limiter, time)
    assert pace.waiting == 0
    workers.come(pace, 2)
    await time.pass_by(10)
    assert pace.waiting == pytest.approx(20.5)
    await time.pass_by(30)
    assert pace.waiting == 0


async def test_the_seconds_that_calls_waited_are_summed_over_all_of_them(limiter, time, workers):
    pace = pace_of(limiter, time)
    workers.come(pace, 3)
    await time.pass_by(70)
    assert workers.started == [0.0, 30.5, 61.0]
    assert pace.waited == pytest.approx(30.5 + 61.0, abs=0.01)


async def test_a_call_that_gave_up_waiting_has_waited_all_the_same(limiter, time, workers):
    pace = pace_of(limiter, time)
    _, second = workers.come(pace, 2)
    await time.pass_by(10)
    second.cancel()
    await time.pass_by(100)
    assert pace.waited == pytest.approx(10.0, abs=0.01)


async def test_a_start_that_was_held_already_is_no_wait(limiter, time, workers):
    pace = pace_of(limiter, time, HUNDRED_THOUSAND_A_SECOND)
    await pace.start()
    assert pace.waited == 0


async def test_a_long_wait_is_one_line_for_all_who_wait(limiter, time, workers, caplog):
    caplog.set_level(logging.INFO)
    workers.come(pace_of(limiter, time), 4)
    await time.pass_by(25)
    assert [record.getMessage() for record in caplog.records] == ["waiting 30 s for the limit csv_api 2/minute"]


async def test_a_short_wait_is_not_worth_a_line(limiter, time, workers, caplog):
    caplog.set_level(logging.INFO)
    workers.come(pace_of(limiter, time, Rate(1, 4)), 3)
    await time.pass_by(10)
    assert (len(workers.started), caplog.records) == (3, [])


async def test_every_worker_learns_of_a_database_that_does_not_answer(limiter, time):
    pace = pace_of(limiter, time)
    limiter.error = TransientError("the application database cannot be used")
    results = await asyncio.gather(*(pace.start() for _ in range(3)), return_exceptions=True)
    assert results == [limiter.error] * 3
    limiter.error = None
    await pace.start()
    assert limiter.reserved == [3, 1]


async def test_an_error_nobody_foresaw_ends_the_waiting_as_well(limiter, time):
    limiter.error = ValueError("a bug")
    with pytest.raises(ValueError, match="a bug"):
        await pace_of(limiter, time).start()
    assert limiter.reserved == [1]


# What happens next: so many seconds pass, then workers come to one of two processes, the event loops stall, or one
# process is asked for a pause.
events = st.lists(
    st.tuples(
        st.floats(0, 40, allow_nan=False),
        st.one_of(
            st.tuples(st.just("come"), st.integers(0, 1), st.integers(1, 4)),
            st.tuples(st.just("stall"), st.just(0), st.floats(0, 40, allow_nan=False)),
            st.tuples(st.just("defer"), st.integers(0, 1), st.floats(0, 100, allow_nan=False)),
            st.tuples(st.just("cancel"), st.integers(0, 1), st.integers(0, 5)),
        ),
    ),
    min_size=1,
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=events, permits=st.integers(1, 3), burst=st.integers(1, 3))
def test_whatever_happens_no_window_holds_more_and_no_pause_is_broken(engine, events, permits, burst):
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM rate_limits")
    starts, pauses, waiting = asyncio.run(_play(engine, events, Rate(permits, 60, burst)))
    for first, next_after_most in zip(starts, starts[permits + burst - 1 :], strict=False):
        assert next_after_most - first > 60 - 1e-3
    assert not [start for start in starts for begin, end in pauses if begin + 0.06 < start < end - 1e-3]
    assert waiting == 0  # in the end everybody got a start


async def _play(engine, events, rate):
    time, pauses = VirtualTime(), []
    paces = [pace_of(RateLimiter(engine, time), time, rate) for _ in range(2)]
    workers = Workers(time)
    for passed, (what, which, number) in events:
        await time.pass_by(passed)
        if what == "come":
            workers.come(paces[which], number)
        elif what == "stall":
            time.stall(number)
        elif what == "defer":
            pauses.append((time.now - workers.began, time.now - workers.began + number))
            await paces[which].defer(number)
        elif number < len(workers.tasks):
            workers.tasks[number].cancel()
    await time.pass_by(10_000)
    for pace in paces:
        await pace.close()
    return workers.started, pauses, sum(not task.done() for task in workers.tasks)

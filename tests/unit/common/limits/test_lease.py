"""The lease on a chunk, on SQLite and on Postgres: an old try has stopped before a newer one starts."""

import asyncio
import contextlib

import pytest
import sqlalchemy

from include.common.errors import ConfigError, TransientError
from include.common.limits.lease import RENEW_EVERY, TERM, Lease, Leases
from tests.virtual_time import VirtualTime, at_once

TIMEOUT = 5.0
LONGEST = TERM + TIMEOUT  # from a last renewal to the end of a last call


class Connected(Leases):
    """The real table, with the clock of the test, and a way to it that can be cut; counts the statements' callers."""

    def __init__(self, engine, time, gone=lambda holder: False):
        super().__init__(engine, clock=time, gone=gone)
        self.cut = False
        self.asked = 0

    def _ask(self, method, *arguments):
        self.asked += 1
        if self.cut:
            raise TransientError("the application database cannot be used: it is away")
        return method(*arguments)

    def take(self, *arguments):
        return self._ask(super().take, *arguments)

    def renew(self, *arguments):
        return self._ask(super().renew, *arguments)

    def release(self, *arguments):
        return self._ask(super().release, *arguments)


@pytest.fixture
def time():
    return VirtualTime()


@pytest.fixture
def leases(engine, time):
    return Connected(engine, time)


def lease(leases, time, attempt=1, key="chunk"):
    async def waiting_for_the_database(function, *arguments):
        while True:
            try:
                return await at_once(function, *arguments)
            except TransientError:
                await time.sleep(1.0)

    return Lease(leases, key, attempt, TIMEOUT, clock=time, sleep=time.sleep, thread=waiting_for_the_database)


class Try:
    """A try that calls every half second as long as it may; each call takes `TIMEOUT`."""

    def __init__(self, leases, time, attempt=1):
        self.lease = lease(leases, time, attempt)
        self.time, self.started, self.error = time, [], None
        self.task = asyncio.ensure_future(self._call())

    async def _call(self):
        try:
            async with self.lease:
                while True:
                    if not self.lease.held:
                        await self.lease.regained()
                    self.started.append(self.time())
                    await self.time.sleep(0.5)
        except TransientError as error:
            self.error = error

    async def end(self):
        """As a try that has come to its end."""
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task

    async def kill(self):
        """As a process that is gone: nothing of it runs any more, and nothing is released."""
        self.lease._renewing.cancel()
        self.lease._leases = Nothing()
        await self.end()


class Nothing:
    def release(self, *_):
        pass


async def test_a_first_try_calls_at_once_after_one_statement(leases, time):
    only = Try(leases, time)
    await time.settle()
    assert only.started == [time()]
    assert leases.asked == 1
    await only.end()
    assert leases.asked == 2


async def test_a_try_calls_on_as_long_as_it_can_renew(leases, time):
    only = Try(leases, time)
    await time.pass_by(60)
    assert len(only.started) == 121
    assert leases.asked == 1 + 60 / RENEW_EVERY
    await only.end()


async def test_a_retry_after_an_ordinary_end_does_not_wait(leases, time):
    first = Try(leases, time)
    await time.pass_by(3)
    await first.end()
    second = Try(leases, time, attempt=2)
    await time.settle()
    assert second.started == [time()]
    await second.end()


async def test_an_old_try_has_stopped_before_a_newer_one_starts(leases, time):
    old = Try(leases, time)
    await time.pass_by(60)
    taken_over = time()
    new = Try(leases, time, attempt=2)
    await time.pass_by(60)
    assert "a newer try has taken over `chunk`" in str(old.error)
    assert max(old.started) <= taken_over + RENEW_EVERY
    assert max(old.started) + TIMEOUT <= min(new.started) <= taken_over + LONGEST
    await new.end()


async def test_an_old_try_that_reaches_the_database_no_more_has_stopped_too(engine, leases, time):
    old = Try(leases, time)
    await time.pass_by(60)
    leases.cut = True
    new = Try(Connected(engine, time), time, attempt=2)
    await time.pass_by(60)
    assert old.error is None
    assert max(old.started) < min(new.started) - TIMEOUT
    leases.cut = False
    await time.pass_by(5)
    assert "a newer try has taken over" in str(old.error)
    await new.end()


async def test_a_try_that_was_frozen_does_not_call_once_it_runs_again(engine, leases, time):
    old = Try(leases, time)
    await time.pass_by(60)
    before = len(old.started)
    time.stall(94)
    new = Try(Connected(engine, time), time, attempt=2)
    await time.pass_by(1)
    assert len(old.started) == before
    assert new.started, "what ran out long ago is not waited for"
    await time.pass_by(5)
    assert "a newer try has taken over" in str(old.error)
    await new.end()


async def test_while_the_database_is_away_no_call_starts_and_then_all_goes_on(leases, time):
    only = Try(leases, time)
    await time.pass_by(20)
    leases.cut = True
    away_from = time()
    await time.pass_by(300)
    assert max(only.started) < away_from + TERM
    leases.cut = False
    back_at = time()
    await time.pass_by(10)
    assert min(start for start in only.started if start > away_from + TERM) <= back_at + RENEW_EVERY + 1
    assert only.error is None
    await only.end()


async def test_a_try_whose_process_is_known_to_have_ended_is_not_waited_for(engine, time):
    old = Try(Connected(engine, time), time)
    await time.pass_by(3)
    await old.kill()
    new = Try(Connected(engine, time, gone=lambda holder: holder == old.lease._holder), time, attempt=2)
    await time.settle()
    assert new.started == [time()]
    await new.end()


async def test_a_killed_try_elsewhere_is_waited_for_no_longer_than_its_calls_could_take(leases, time):
    old = Try(leases, time)
    await time.pass_by(3)
    await old.kill()
    renewed = time() - 0.5
    await time.pass_by(6)
    new = Try(leases, time, attempt=2)
    await time.pass_by(30)
    assert min(new.started) == pytest.approx(renewed + LONGEST, abs=0.01)
    await new.end()


async def test_a_try_that_is_killed_while_it_waits_hides_nobody_from_the_next(engine, time):
    """The second waits for the first, which calls on somewhere else; the third must not begin either."""
    old = Try(Connected(engine, time), time)
    await time.pass_by(10)
    second = Try(Connected(engine, time), time, attempt=2)
    await time.settle()
    taken_over = time()
    second.task.cancel()
    third = Try(Connected(engine, time, gone=lambda holder: holder == second.lease._holder), time, attempt=3)
    await time.pass_by(60)
    assert second.started == []
    assert min(third.started) >= max(old.started) + TIMEOUT
    assert min(third.started) <= taken_over + LONGEST
    await third.end()


async def test_an_old_try_that_comes_late_takes_nothing_from_a_newer_one(leases, time):
    new = Try(leases, time, attempt=2)
    await time.pass_by(1)
    late = Try(leases, time, attempt=1)
    await time.pass_by(60)
    assert late.started == []
    assert "a newer try has taken over" in str(late.error)
    assert len(new.started) == 123
    await new.end()


async def test_the_same_try_in_a_second_process_takes_over(leases, time):
    first = Try(leases, time)
    await time.pass_by(1)
    again = Try(leases, time)
    await time.pass_by(60)
    assert max(first.started) + TIMEOUT <= min(again.started)
    await again.end()


async def test_chunks_do_not_wait_for_each_other(leases, time):
    async with lease(leases, time, key="one") as one, lease(leases, time, key="two") as two:
        assert one.held
        assert two.held


async def test_an_error_that_will_not_pass_ends_the_try(leases, time):
    only = Try(leases, time)
    await time.settle()
    leases.renew = lambda *_: (_ for _ in ()).throw(ConfigError("the table is gone"))
    with pytest.raises(ConfigError, match="the table is gone"):
        await asyncio.gather(only.task, time.pass_by(20))


async def test_a_lease_that_cannot_be_released_does_not_replace_the_outcome(leases, time):
    async def impatient(function, *arguments):
        return await at_once(function, *arguments)

    async with Lease(leases, "chunk", 1, TIMEOUT, clock=time, sleep=time.sleep, thread=impatient):
        leases.cut = True


async def test_nothing_is_left_of_leases_that_ended(leases, time, engine):
    for attempt in (1, 2):
        async with lease(leases, time, attempt=attempt):
            await time.settle()
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT count(*) FROM leases")).scalar_one() == 0


def test_the_database_has_the_time_where_it_has_a_clock(engine):
    """Clocks of workers need not agree: on Postgres its own counts."""
    leases = Leases(engine, gone=lambda holder: False)
    assert leases.take("chunk", 1, "one", seconds=3600.0) == 0.0
    assert leases.take("chunk", 2, "two", seconds=3600.0) == pytest.approx(3600.0, abs=60.0)

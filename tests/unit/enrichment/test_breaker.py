"""What a server that is down costs: calls, tries and time, in virtual time."""

import asyncio

import pytest

from include.common.errors import PermanentError, TransientError
from include.common.http.errors import UnreachableError
from include.enrichment.breaker import FAILURES_AT_THE_END, FAILURES_IN_A_ROW, LONGEST_OUTAGE, LONGEST_SILENCE
from include.enrichment.models import RowStatus
from tests.unit.enrichment.test_caller import Budget, EvenPace, FakeApi, Scene, keys, listener

OK, FAILED, RETRY = RowStatus.OK, RowStatus.FAILED, RowStatus.RETRY
DOWN = TransientError("503")
GONE = UnreachableError("connection failed: refused")
# Calls that ask whether the API is back, 1, 3, 7, 15, 31, 61, … and 300 s after it went; until 30 s: five.
PROBES, PROBES_IN_SILENCE = 14, 5


class Failing(FakeApi):
    """Fails with `error` while it is `down`, an interval of time, and each key its first `times`."""

    def __init__(self, time, seconds=0.1, down=(0.0, 0.0), times=0, error=DOWN):
        super().__init__(time, seconds)
        self.down, self.times, self.error = down, times, error

    async def call(self, row, permit=None):
        begun = self.time.now
        answer = await super().call(row, permit)
        if self.down[0] <= begun < self.down[1] or self.calls.count(row["id"]) <= self.times:
            raise self.error
        return answer


async def others_are_answered():
    """Other tasks of the run have heard of the API."""
    return True


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path)


@pytest.mark.parametrize("in_flight", [1, 7])
@pytest.mark.parametrize("times", [1, 2])
async def test_rows_that_each_fail_at_first_are_all_answered_in_the_end(scene, in_flight, times):
    scene.api = Failing(scene.time, times=times)
    for try_number in (1, 2, 3, 4):
        outcome = await scene.run(keys(500), in_flight=in_flight, try_number=try_number)
    assert (outcome.transient, outcome.outage) == (0, None)
    assert {status for status, _ in scene.standing().values()} == {OK}
    assert len(scene.standing()) == 500
    assert len(scene.api.calls) == 500 * (times + 1)


@pytest.mark.parametrize("in_flight", [1, 7])
@pytest.mark.parametrize("seconds", [60, 280])
async def test_an_outage_in_the_middle_of_a_try_fails_no_row_of_it_and_few_calls(scene, seconds, in_flight):
    scene.api = Failing(scene.time, down=(3.0, 3.0 + seconds))
    outcome = await scene.run(keys(500), in_flight=in_flight)
    in_vain = len(scene.api.calls) - 500
    assert (outcome.ok, outcome.failed, outcome.transient) == (500, 0, 0)
    assert in_vain <= FAILURES_IN_A_ROW + 2 * in_flight + PROBES
    assert scene.time.now <= 3 + seconds + 30 + 60  # what the rows take, and the longest pause


async def test_the_calls_of_an_outage_are_counted_with_their_rows(scene):
    scene.api = Failing(scene.time, down=(3.0, 63.0))
    await scene.run(keys(500), in_flight=5)
    assert sum(attempts for _, attempts in scene.standing().values()) == len(scene.api.calls)


async def test_an_outage_near_the_end_is_outlasted_as_well(scene):
    scene.api = Failing(scene.time, down=(2.95, 63.0))
    outcome = await scene.run(keys(30 + FAILURES_AT_THE_END), in_flight=1)
    assert (outcome.ok, outcome.transient) == (35, 0)
    assert scene.time.now < 63 + 30 + 3


async def test_fewer_rows_than_that_are_left_to_the_next_try(scene):
    scene.api = Failing(scene.time, down=(2.95, 63.0))
    outcome = await scene.run(keys(30 + FAILURES_AT_THE_END - 1), in_flight=1)
    assert (outcome.ok, outcome.transient, outcome.outage) == (30, 4, None)


@pytest.mark.parametrize("seconds", [60, 280])
async def test_a_lone_row_waits_for_a_server_that_is_gone_and_has_answered_others(scene, seconds):
    scene.api = Failing(scene.time, down=(0.0, seconds), error=GONE)
    outcome = await scene.run(keys(1), answered_others=others_are_answered)
    assert (outcome.ok, outcome.transient, outcome.outage) == (1, 0, None)
    assert len(scene.api.calls) <= 1 + PROBES
    assert scene.time.now <= seconds + 30 + 1


async def test_the_last_rows_of_a_chunk_wait_for_a_server_that_is_gone(scene):
    scene.api = Failing(scene.time, down=(2.95, 63.0), error=GONE)
    outcome = await scene.run(keys(30 + FAILURES_AT_THE_END - 1), in_flight=1)
    assert (outcome.ok, outcome.transient, outcome.outage) == (34, 0, None)


async def test_a_lone_row_is_waited_for_in_each_try(scene):
    scene.api = Failing(scene.time, down=(0.0, 400.0), error=GONE)
    outcome = await scene.run(keys(1), answered_others=others_are_answered)
    assert (outcome.ok, outcome.transient, outcome.outage) == (0, 1, LONGEST_OUTAGE)
    outcome = await scene.run(keys(1), try_number=2, answered_others=others_are_answered)
    assert (outcome.ok, outcome.transient, outcome.outage) == (1, 0, None)
    assert scene.standing() == {1: (OK, len(scene.api.calls))}


async def test_a_server_that_has_answered_nobody_is_not_waited_for_by_a_lone_row(scene):
    scene.api = Failing(scene.time, down=(0.0, 60.0), error=GONE)
    outcome = await scene.run(keys(1))
    assert (outcome.transient, len(scene.api.calls), outcome.outage) == (1, 1, None)


async def test_a_lone_row_that_the_server_fails_keeps_to_its_tries(scene):
    scene.api = Failing(scene.time, down=(0.0, 60.0))
    outcome = await scene.run(keys(1), answered_others=others_are_answered)
    assert (outcome.transient, len(scene.api.calls), outcome.outage) == (1, 1, None)


async def test_a_row_that_always_fails_is_found_out_behind_a_server_that_was_gone(scene):
    scene.api = Failing(scene.time, down=(0.0, 60.0), error=GONE)
    scene.api.answers["k2"] = DOWN
    outcome = await scene.run(keys(3), in_flight=1, answered_others=others_are_answered)
    assert (outcome.ok, outcome.transient, outcome.outage) == (2, 1, None)
    scene.api.calls.clear()
    outcome = await scene.run(keys(3), in_flight=1, try_number=2, answered_others=others_are_answered)
    assert (outcome.transient, scene.api.calls) == (1, ["k2"])


async def test_a_server_that_others_have_heard_of_is_waited_for_as_long_as_one_that_answered_here(scene):
    scene.api = Failing(scene.time, down=(0.0, 200.0))
    outcome = await scene.run(keys(50), answered_others=others_are_answered)
    assert (outcome.ok, outcome.transient) == (50, 0)


async def test_an_outage_that_outlasts_the_wait_ends_the_try_and_the_next_goes_on(scene):
    scene.api = Failing(scene.time, down=(3.0, 400.0))
    outcome = await scene.run(keys(100), in_flight=1)
    assert (outcome.ok, outcome.outage) == (30, LONGEST_OUTAGE)
    assert 30 + FAILURES_IN_A_ROW <= len(scene.api.calls) <= 30 + FAILURES_IN_A_ROW + PROBES
    assert outcome.transient == len([status for status, _ in scene.standing().values() if status is RETRY])
    assert scene.time.now == pytest.approx(3 + FAILURES_IN_A_ROW / 10 + LONGEST_OUTAGE, abs=2)
    outcome = await scene.run(keys(100), in_flight=1, try_number=2)
    assert (outcome.transient, outcome.outage) == (0, None)
    assert {status for status, _ in scene.standing().values()} == {OK}


async def test_an_api_that_never_answered_is_left_sooner(scene):
    scene.api = Failing(scene.time, down=(0.0, 1e9))
    outcome = await scene.run(keys(200), in_flight=1)
    assert len(scene.api.calls) == FAILURES_IN_A_ROW + PROBES_IN_SILENCE
    assert outcome.outage == LONGEST_SILENCE
    assert scene.time.now == pytest.approx(FAILURES_IN_A_ROW / 10 + LONGEST_SILENCE, abs=1)


async def test_a_server_that_stays_down_is_not_hammered_in_any_try(scene):
    scene.api = Failing(scene.time, down=(0.0, 1e9))
    for try_number in (1, 2, 3, 4):
        await scene.run(keys(1000), in_flight=5, try_number=try_number)
    assert len(scene.api.calls) <= 4 * (FAILURES_IN_A_ROW + 4 + PROBES_IN_SILENCE)


async def test_rows_that_always_fail_are_no_outage_in_a_later_try(scene):
    bad = [f"k{number}" for number in range(2, 101, 2)]
    scene.api.answers |= dict.fromkeys(bad, DOWN)
    outcome = await scene.run(keys(100), in_flight=1)
    assert (outcome.ok, outcome.transient) == (50, 50)
    scene.api.calls.clear()
    began = scene.time.now
    outcome = await scene.run(keys(100), in_flight=1, try_number=2)
    assert (outcome.transient, outcome.outage) == (50, None)
    assert (scene.api.calls, scene.time.now - began) == (bad, 50)


async def test_neighbours_that_always_fail_do_not_stand_for_the_server(scene):
    bad = keys(40)[10:35]
    scene.api.answers |= dict.fromkeys(bad, DOWN)
    outcome = await scene.run(keys(100), in_flight=1)
    assert (outcome.ok, outcome.transient, outcome.outage) == (75, 25, None)


async def test_calls_that_run_out_of_time_while_others_are_answered_are_no_outage(scene):
    class Slow(FakeApi):
        async def call(self, row, permit=None):
            if int(row["id"][1:]) % 10:
                return await super().call(row, permit)
            self.calls.append(row["id"])
            await self.time.sleep(60)
            raise TransientError("no complete answer within 60 s")

    scene.api = Slow(scene.time)
    outcome = await scene.run(keys(100), in_flight=20)
    assert (outcome.ok, outcome.transient) == (90, 10)
    assert scene.time.now < 70


async def test_one_answer_between_them_and_failures_are_no_outage(scene):
    failing = [key for number, key in enumerate(keys(100), 1) if number % FAILURES_IN_A_ROW]
    scene.api.answers |= dict.fromkeys(failing, DOWN)
    outcome = await scene.run(keys(100), in_flight=1)
    assert (outcome.ok, outcome.transient, len(scene.api.calls)) == (5, 95, 100)


async def test_a_row_that_fails_for_good_shows_that_the_server_answers(scene):
    scene.api.answers |= dict.fromkeys(keys(34), DOWN)
    scene.api.answers["k15"] = PermanentError("404")
    outcome = await scene.run(keys(35), in_flight=1)
    assert (outcome.ok, outcome.failed, outcome.transient, len(scene.api.calls)) == (1, 1, 33, 35)


async def test_rows_in_hand_when_the_calls_are_held_are_not_lost(scene):
    scene.api = Failing(scene.time, seconds=40, down=(0.0, 500.0))
    outcome = await scene.run(keys(60), in_flight=5, pace=EvenPace(scene.time, interval=15))
    assert outcome.outage == LONGEST_SILENCE
    scene.api.down = (0.0, 0.0)
    outcome = await scene.run(keys(60), in_flight=5, try_number=2, pace=EvenPace(scene.time))
    assert {status for status, _ in scene.standing().values()} == {OK}
    assert len(scene.standing()) == 60


@pytest.mark.parametrize("end", ["a stop", "a deadline"])
async def test_an_end_of_the_run_ends_the_wait(scene, end):
    scene.api = Failing(scene.time, down=(3.0, 1e9))

    async def stopped():
        return PermanentError("stopped") if end == "a stop" and scene.time.now >= 100 else None

    deadline = 100 if end == "a deadline" else float("inf")
    work = scene.run(keys(100), in_flight=2, stopped=stopped, deadline=deadline, past_deadline="skipped: deadline")
    if end == "a stop":
        with pytest.raises(PermanentError, match="stopped"):
            await work
    else:
        assert (await work).left == "skipped: deadline"
    assert scene.time.now == pytest.approx(100, abs=1)


async def test_a_stop_that_comes_while_one_call_asks_is_not_kept_waiting(scene):
    scene.api = Failing(scene.time, seconds=2, down=(3.0, 1e9))
    asked = 2 + FAILURES_IN_A_ROW + 6

    async def stopped():
        return PermanentError("stopped") if len(scene.api.calls) == asked else None

    with pytest.raises(PermanentError, match="stopped"):
        await scene.run(keys(100), in_flight=1, stopped=stopped)
    assert scene.time.now - scene.api.starts[-1] == 2  # the call's end, and not the pause after it


async def test_a_try_that_is_cancelled_while_it_waits_ends(scene):
    scene.api = Failing(scene.time, down=(3.0, 1e9))
    work = asyncio.ensure_future(scene.run(keys(100), in_flight=2))

    async def soon():
        await scene.time.sleep(60)
        work.cancel()

    other = asyncio.ensure_future(soon())
    with pytest.raises(asyncio.CancelledError):
        await work
    await other


async def test_the_budget_counts_the_calls_that_ask_whether_the_api_is_back(scene):
    scene.api = Failing(scene.time, down=(3.0, 1e9))
    outcome = await scene.run(keys(100), in_flight=1, allowance=Budget(55), over_budget="skipped: budget")
    assert (outcome.left, len(scene.api.calls)) == ("skipped: budget", 55)


async def test_progress_says_that_the_api_is_waited_for(scene):
    scene.api = Failing(scene.time, down=(3.0, 63.0))
    told = []
    await scene.run(keys(100), in_flight=1, tell=listener(told))
    assert not told[0].outage
    assert "waiting for the API to come back" in told[2].line()
    assert not told[-1].outage

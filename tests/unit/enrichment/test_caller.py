"""Calling the rows of one chunk, in virtual time."""

import asyncio
import heapq
import itertools

import pytest

from include.common.errors import PermanentError, TransientError
from include.common.http.errors import AccessError
from include.enrichment.caller import LONGEST_PAUSE, TELL_EVERY, Calls
from include.enrichment.ledger import ChunkLedger, Entry, open_segment, read_entry
from include.enrichment.models import Chunk, RowStatus
from include.enrichment.rows import RowToCall

OK, FAILED, RETRY = RowStatus.OK, RowStatus.FAILED, RowStatus.RETRY


class FakeTime:
    """A clock that jumps to the next thing that somebody sleeps for, once everybody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._order), future))
        await future

    async def run(self, work):
        """Await `work`, turning the clock."""
        task = asyncio.ensure_future(work)
        turning = asyncio.ensure_future(self._turn())
        try:
            return await task
        finally:
            turning.cancel()

    async def _turn(self) -> None:
        while True:
            for _ in range(30):  # enough for everybody to get where they sleep
                await asyncio.sleep(0)
            if self._sleepers:
                wake, _, future = heapq.heappop(self._sleepers)
                if not future.cancelled():
                    self.now = max(self.now, wake)
                    future.set_result(None)


class FakeApi:
    """Answers each key as it is told, after `seconds`; notes every call's start, and how many were in flight."""

    def __init__(self, time: FakeTime, seconds: float = 1.0) -> None:
        self.time = time
        self.seconds = seconds
        self.answers: dict[str, object] = {}
        self.calls: list[str] = []
        self.starts: list[float] = []
        self.abandoned: list[str] = []
        self.in_flight = 0
        self.peak = 0

    async def call(self, row, permit=None):
        self.calls.append(row["id"])
        self.starts.append(self.time.now)
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            await self.time.sleep(self.seconds)
        except asyncio.CancelledError:
            self.abandoned.append(row["id"])
            raise
        finally:
            self.in_flight -= 1
        answer = self.answers.get(row["id"], {"answer to": row["id"]})
        if isinstance(answer, Exception):
            raise answer
        return answer


class EvenPace:
    """A limit of one call in `interval` seconds, which counts what it is asked."""

    def __init__(self, time: FakeTime, interval: float = 0.0) -> None:
        self.time = time
        self.interval = interval
        self.next_at = self.paused_until = 0.0
        self.waiting = self.waited = 0.0
        self.deferred: list[float] = []

    async def start(self) -> None:
        while True:
            start = max(self.next_at, self.paused_until, self.time.now)
            self.next_at = start + self.interval
            self.waiting = start - self.time.now
            await self.time.sleep(self.waiting)
            self.waiting = 0.0
            if self.time.now >= self.paused_until:
                return

    async def defer(self, seconds: float) -> None:
        self.deferred.append(seconds)
        self.paused_until = max(self.paused_until, self.time.now + seconds)


class Budget:
    """So many calls, then no more."""

    def __init__(self, calls: int) -> None:
        self.left = calls

    async def take(self) -> bool:
        self.left -= 1
        return self.left >= 0

    def give_back(self):
        self.left += 1


def listener(told):
    """What notes each word of progress in `told`."""

    async def tell(progress):
        told.append(progress)

    return tell


class Scene:
    """A chunk, its ledger, an API and a clock."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self.time = FakeTime()
        self.api = FakeApi(self.time)

    async def run(self, keys, in_flight=5, try_number=1, pace=None, **parts):
        rows = [RowToCall(n, key, [key, f"name {key}"]) for n, key in enumerate(keys, 1)]
        chunk = Chunk(0, "", 1, len(keys), len(keys), 0, 0)
        with ChunkLedger(self.folder, chunk) as ledger:
            async with open_segment(self.folder, 0, try_number) as segment:
                calls = Calls(
                    caller=self.api,
                    segment=segment,
                    columns=("id", "name"),
                    standing=ledger,
                    pace=pace or EvenPace(self.time),
                    total=len(keys),
                    clock=self.time,
                    sleep=self.time.sleep,
                    **parts,
                )
                return await self.time.run(calls.run(lambda: rows, in_flight))

    def ledger(self):
        paths = sorted(self.folder.glob("*.jsonl"))
        return [read_entry(line) for path in paths for line in path.read_bytes().splitlines()]

    def standing(self):
        return {entry.n: (entry.status, entry.attempts) for entry in self.ledger()}


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path)


def keys(count: int) -> list[str]:
    return [f"k{number}" for number in range(1, count + 1)]


async def test_every_row_is_called_once_and_recorded(scene):
    outcome = await scene.run(keys(50))
    assert sorted(scene.api.calls) == sorted(keys(50))
    assert sorted(entry.n for entry in scene.ledger()) == list(range(1, 51))
    assert (outcome.ok, outcome.failed, outcome.transient) == (50, 0, 0)


async def test_an_answer_is_recorded_with_its_row(scene):
    await scene.run(["007"])
    assert scene.ledger() == [Entry(1, OK, 1, answer={"answer to": "007"})]


async def test_the_call_gets_the_row_by_its_columns(scene):
    seen = []

    class Api:
        async def call(self, row, permit=None):
            seen.append(dict(row))

    scene.api = Api()
    await scene.run(["007"])
    assert seen == [{"id": "007", "name": "name 007"}]


@pytest.mark.parametrize("in_flight", [1, 2, 5])
async def test_at_most_so_many_calls_are_in_flight_and_no_fewer(scene, in_flight):
    await scene.run(keys(20), in_flight=in_flight)
    assert scene.api.peak == in_flight
    assert scene.time.now == 20 / in_flight


async def test_more_workers_than_rows_do_no_harm(scene):
    outcome = await scene.run(keys(2), in_flight=5)
    assert (outcome.ok, len(scene.api.calls)) == (2, 2)


async def test_no_rows_are_no_calls(scene):
    outcome = await scene.run([])
    assert (outcome.ok, outcome.failed, outcome.transient) == (0, 0, 0)
    assert scene.api.calls == []


async def test_rows_are_read_as_they_are_called_and_not_before(scene):
    read = []

    def rows():
        for n, key in enumerate(keys(100), 1):
            read.append(key)
            assert len(read) <= len(scene.api.calls) + 5
            yield RowToCall(n, key, [key, ""])

    with ChunkLedger(scene.folder, Chunk(0, "", 1, 100, 100, 0, 0)) as ledger:
        async with open_segment(scene.folder, 0, 1) as segment:
            pace, time = EvenPace(scene.time), scene.time
            calls = Calls(scene.api, segment, ("id", "name"), ledger, pace, clock=time, sleep=time.sleep)
            await scene.time.run(calls.run(rows, in_flight=5))
    assert len(read) == 100


async def test_a_permanent_error_fails_its_row_and_the_others_go_on(scene):
    scene.api.answers["k2"] = PermanentError("404: `no such`")
    outcome = await scene.run(keys(3))
    assert (outcome.ok, outcome.failed, outcome.transient) == (2, 1, 0)
    assert Entry(2, FAILED, 1, "404: `no such`") in scene.ledger()


async def test_a_transient_error_is_recorded_to_be_tried_again(scene):
    scene.api.answers["k2"] = TransientError("500")
    outcome = await scene.run(keys(3))
    assert (outcome.ok, outcome.failed, outcome.transient) == (2, 0, 1)
    assert Entry(2, RETRY, 1, "500") in scene.ledger()


async def test_within_one_try_no_row_is_called_twice(scene):
    scene.api.answers["k2"] = TransientError("500")
    await scene.run(keys(3))
    assert scene.api.calls.count("k2") == 1


async def test_the_first_error_is_told_with_row_and_key(scene):
    scene.api.answers |= {"k2": TransientError("500"), "k3": PermanentError("404")}
    outcome = await scene.run(keys(3), in_flight=1)
    assert outcome.first_error == "row 2 (k2): 500"


async def test_a_second_try_calls_only_what_failed_for_now(scene):
    scene.api.answers |= {"k2": TransientError("500"), "k3": PermanentError("404")}
    await scene.run(keys(4))
    scene.api.answers.clear()
    scene.api.calls.clear()
    outcome = await scene.run(keys(4), try_number=2)
    assert scene.api.calls == ["k2"]
    assert (outcome.ok, outcome.failed, outcome.transient) == (1, 0, 0)
    assert scene.standing() == {1: (OK, 1), 2: (OK, 2), 3: (FAILED, 1), 4: (OK, 1)}


async def test_a_second_try_calls_what_the_first_did_not_come_to(scene):
    await scene.run(keys(2))
    scene.api.calls.clear()
    await scene.run(keys(4), try_number=2)
    assert sorted(scene.api.calls) == ["k3", "k4"]


async def test_attempts_add_up_over_the_tries(scene):
    scene.api.answers["k1"] = TransientError("500")
    for try_number in (1, 2, 3, 4):
        await scene.run(keys(1), try_number=try_number)
    assert [entry.attempts for entry in scene.ledger()] == [1, 2, 3, 4]
    assert scene.standing() == {1: (RETRY, 4)}


@pytest.mark.parametrize("status", [401, 403])
async def test_refused_credentials_stop_the_task_at_once(scene, status):
    scene.api.answers["k1"] = AccessError(f"{status}: refused")
    with pytest.raises(AccessError, match=f"^{status}: refused$"):
        await scene.run(keys(100), in_flight=1)
    assert scene.api.calls == ["k1"]


async def test_refused_credentials_abandon_the_calls_in_flight(scene):
    class Api(FakeApi):
        async def call(self, row, permit=None):
            if row["id"] == "k3":
                self.calls.append("k3")
                raise AccessError("401: refused")
            return await super().call(row, permit)

    scene.api = Api(scene.time)
    with pytest.raises(AccessError):
        await scene.run(keys(100), in_flight=3)
    assert sorted(scene.api.calls) == ["k1", "k2", "k3"]
    assert sorted(scene.api.abandoned) == ["k1", "k2"]
    assert [(entry.n, entry.error) for entry in scene.ledger()] == [(3, "401: refused")]


async def test_all_calls_refused_at_once_are_one_error(scene):
    scene.api.answers |= {key: AccessError("401: refused") for key in keys(5)}
    with pytest.raises(AccessError):
        await scene.run(keys(100), in_flight=5)
    assert len(scene.api.calls) == 5


async def test_refused_credentials_are_no_end_of_a_row(scene):
    scene.api.answers["k1"] = AccessError("401: refused")
    with pytest.raises(AccessError):
        await scene.run(keys(1))
    scene.api.answers.clear()
    await scene.run(keys(1), try_number=2)
    assert scene.standing() == {1: (OK, 2)}


async def test_what_was_answered_before_the_refusal_is_kept(scene):
    scene.api.answers["k3"] = AccessError("401: refused")
    with pytest.raises(AccessError):
        await scene.run(keys(5), in_flight=1)
    assert scene.standing() == {1: (OK, 1), 2: (OK, 1), 3: (RETRY, 1)}


async def test_a_refusal_seen_by_another_task_stops_this_one_before_its_next_call(scene):
    reason = None

    async def stopped():
        return reason

    async def soon():
        nonlocal reason
        await scene.time.sleep(2.5)
        reason = PermanentError("403: refused")

    other = asyncio.ensure_future(soon())
    with pytest.raises(PermanentError, match="403: refused"):
        await scene.run(keys(10), in_flight=1, stopped=stopped)
    assert scene.api.calls == ["k1", "k2", "k3"]
    await other


async def test_an_error_nobody_foresaw_ends_the_task_as_itself(scene):
    scene.api.answers["k1"] = ZeroDivisionError("surprise")
    with pytest.raises(ZeroDivisionError, match="surprise"):
        await scene.run(keys(3))


async def test_calls_keep_to_the_pace(scene):
    await scene.run(keys(5), pace=EvenPace(scene.time, interval=30))
    assert scene.api.starts == [0, 30, 60, 90, 120]


async def test_slow_calls_overlap_at_a_fast_pace(scene):
    scene.api.seconds = 10
    await scene.run(keys(6), in_flight=3, pace=EvenPace(scene.time, interval=1))
    assert scene.api.starts == [0, 1, 2, 10, 11, 12]


async def test_a_pause_that_the_api_asks_for_holds_all_workers(scene):
    scene.api.answers["k1"] = TransientError("429", retry_after=60)
    await scene.run(keys(8), in_flight=4)
    # Four start together; the refusal comes after a second, and what is left starts a minute later.
    assert scene.api.starts == [0, 0, 0, 0, 61, 61, 61, 61]


async def test_a_pause_holds_a_worker_that_waits_for_the_limit(scene):
    scene.api.answers["k1"] = TransientError("429", retry_after=60)
    await scene.run(keys(2), in_flight=2, pace=EvenPace(scene.time, interval=10))
    assert scene.api.starts[0] == 0
    assert scene.api.starts[1] >= 61


async def test_after_a_pause_the_calls_keep_to_the_pace(scene):
    scene.api.answers["k1"] = TransientError("429", retry_after=60)
    await scene.run(keys(6), in_flight=3, pace=EvenPace(scene.time, interval=10))
    distances = [later - earlier for earlier, later in itertools.pairwise(scene.api.starts)]
    assert min(distances) >= 10


async def test_a_longer_pause_that_comes_later_counts(scene):
    scene.api.answers |= {
        "k1": TransientError("429", retry_after=10),
        "k2": TransientError("429", retry_after=100),
        "k3": TransientError("429", retry_after=1),
    }
    await scene.run(keys(4), in_flight=3)
    assert scene.api.starts == [0, 0, 0, 101]


async def test_a_pause_is_told_to_everybody_who_shares_the_limit(scene):
    scene.api.answers["k1"] = TransientError("429", retry_after=60)
    pace = EvenPace(scene.time, interval=0)
    await scene.run(keys(1), pace=pace)
    assert pace.deferred == [60]


async def test_a_pause_of_more_than_an_hour_ends_the_try_instead_of_holding_the_run(scene):
    scene.api.answers["k1"] = TransientError("429", retry_after=LONGEST_PAUSE + 1)
    pace = EvenPace(scene.time, interval=0)
    with pytest.raises(PermanentError, match="asks for a pause of 3601 s; the longest that is waited for is 3600 s"):
        await scene.run(keys(2), in_flight=1, pace=pace)
    assert (pace.deferred, scene.api.calls) == ([], ["k1"])


async def test_an_api_that_only_ever_asks_for_pauses_is_left_to_the_next_try(scene):
    scene.api.answers |= {f"k{number}": TransientError("429", retry_after=60) for number in range(1, 30)}
    outcome = await scene.run(keys(29), in_flight=1)
    assert (outcome.transient, len(scene.api.calls)) == (6, 6)


async def test_pauses_with_answers_between_them_are_all_kept(scene):
    scene.api.answers |= {f"k{number}": TransientError("429", retry_after=60) for number in range(1, 30, 2)}
    outcome = await scene.run(keys(29), in_flight=1)
    assert (outcome.ok, outcome.transient) == (14, 15)


async def test_an_error_without_retry_after_pauses_nobody(scene):
    scene.api.answers["k1"] = TransientError("500")
    pace = EvenPace(scene.time, interval=0)
    await scene.run(keys(4), in_flight=1, pace=pace)
    assert pace.deferred == []
    assert scene.api.starts == [0, 1, 2, 3]


async def test_the_rest_of_a_pause_is_what_the_next_try_waits(scene):
    scene.api.answers["k1"] = TransientError("429", retry_after=60)
    outcome = await scene.run(keys(1))
    assert outcome.wait == 60


async def test_a_pause_that_is_over_leaves_nothing_to_wait(scene):
    scene.api.answers["k1"] = TransientError("429", retry_after=60)
    outcome = await scene.run(keys(3), in_flight=1)
    assert outcome.wait == 0


async def test_failures_that_name_no_pause_leave_the_wait_to_the_retry_delay(scene):
    scene.api.answers["k1"] = TransientError("500")
    outcome = await scene.run(keys(2))
    assert outcome.wait is None


async def test_one_failure_without_a_pause_leaves_the_wait_to_the_retry_delay_once_the_pause_is_over(scene):
    scene.api.answers |= {"k1": TransientError("429", retry_after=5), "k2": TransientError("500")}
    outcome = await scene.run(keys(10), in_flight=1)
    assert outcome.wait is None


async def test_a_retry_after_of_0_is_no_reason_to_wait(scene):
    scene.api.answers["k1"] = TransientError("429", retry_after=0)
    outcome = await scene.run(keys(2), in_flight=1)
    assert scene.api.starts == [0, 1]
    assert outcome.wait == 0


async def test_a_task_that_is_cancelled_abandons_its_calls_and_keeps_its_answers(scene):
    work = asyncio.ensure_future(scene.run(keys(100), in_flight=2))

    async def soon():
        await scene.time.sleep(2.5)
        work.cancel()

    other = asyncio.ensure_future(soon())
    with pytest.raises(asyncio.CancelledError):
        await work
    assert sorted(scene.api.abandoned) == ["k5", "k6"]
    assert set(scene.standing()) == {1, 2, 3, 4}
    await other


async def test_a_worker_that_waits_for_the_limit_gives_its_turn_up_when_the_run_is_stopped(scene):
    async def stopped():
        return PermanentError("stopped") if scene.time.now >= 5 else None

    with pytest.raises(PermanentError, match="stopped"):
        await scene.run(keys(10), in_flight=3, pace=EvenPace(scene.time, interval=3600), stopped=stopped)
    assert scene.api.calls == ["k1"]
    assert scene.time.now < 10


async def test_a_stop_finishes_the_calls_in_flight(scene):
    async def stopped():
        return TransientError("told to end") if scene.time.now >= 0.5 else None

    with pytest.raises(TransientError, match="told to end"):
        await scene.run(keys(10), in_flight=2, stopped=stopped)
    assert scene.standing() == {1: (OK, 1), 2: (OK, 1)}


async def test_a_budget_is_spent_to_the_last_call_and_the_rest_is_left(scene):
    outcome = await scene.run(keys(50), in_flight=4, allowance=Budget(10), over_budget="skipped: budget")
    assert (outcome.ok, outcome.left, len(scene.api.calls)) == (10, "skipped: budget", 10)


async def test_after_the_deadline_no_call_starts_and_those_in_flight_are_finished(scene):
    outcome = await scene.run(keys(50), in_flight=2, deadline=3.2, past_deadline="skipped: deadline")
    assert outcome.left == "skipped: deadline"
    assert outcome.ok == len(scene.api.calls)
    assert max(scene.api.starts) < 4


async def test_a_deadline_does_not_wait_for_the_limit(scene):
    outcome = await scene.run(keys(5), pace=EvenPace(scene.time, interval=3600), deadline=10)
    assert (outcome.ok, scene.time.now) == (1, 10)


class LostDatabase(EvenPace):
    async def start(self):
        if self.time.now >= 2:
            raise TransientError("the application database cannot be used")


async def test_a_limit_that_cannot_be_asked_loses_no_call_in_flight(scene):
    with pytest.raises(TransientError, match="application database"):
        await scene.run(keys(10), in_flight=2, pace=LostDatabase(scene.time))
    assert scene.api.abandoned == []
    assert len(scene.ledger()) == len(scene.api.calls)


async def test_progress_is_told_every_few_seconds(scene):
    told = []

    async def tell(progress):
        told.append((scene.time.now, progress))

    await scene.run(keys(20), in_flight=1, tell=tell)
    times = [now for now, _ in told]
    assert times == [1, 1 + TELL_EVERY, 1 + 2 * TELL_EVERY, 1 + 3 * TELL_EVERY]
    last = told[-1][1]
    assert (last.done, last.total, last.failed) == (16, 20, 0)
    assert last.per_second == pytest.approx(1)
    assert last.eta == pytest.approx(4)


async def test_progress_counts_what_earlier_tries_have_ended(scene):
    scene.api.answers["k1"] = PermanentError("404")
    scene.api.answers["k2"] = TransientError("500")
    await scene.run(keys(3), in_flight=1)
    scene.api.answers.clear()
    scene.api.seconds = 2
    told = []
    await scene.run(keys(3), in_flight=1, try_number=2, tell=listener(told))
    assert (told[0].done, told[0].failed, told[0].retry) == (2, 1, 0)


async def test_progress_says_how_long_the_limit_makes_it_wait(scene):
    told = []
    await scene.run(keys(2), in_flight=1, pace=EvenPace(scene.time, interval=30), tell=listener(told))
    assert "waiting 29 s for the limit" in told[0].line()


class LedOn(FakeApi):
    """An API that answers each call only after a second request, as one that redirects does."""

    async def call(self, row, permit=None):
        await super().call(row, permit)
        await permit()
        return await super().call(row, permit)


async def test_every_request_of_a_call_keeps_to_the_pace(scene):
    scene.api = LedOn(scene.time)
    await scene.run(keys(3), in_flight=1, pace=EvenPace(scene.time, interval=30))
    assert scene.api.starts == [0, 30, 60, 90, 120, 150]


async def test_every_request_of_a_call_counts_in_the_budget_and_a_call_cut_short_is_left(scene):
    scene.api = LedOn(scene.time)
    outcome = await scene.run(keys(9), in_flight=1, allowance=Budget(5), over_budget="skipped: budget")
    assert (outcome.ok, outcome.failed, outcome.transient, outcome.left) == (2, 0, 0, "skipped: budget")
    assert scene.api.calls == ["k1", "k1", "k2", "k2", "k3"]
    assert scene.standing() == {1: (OK, 1), 2: (OK, 1)}


async def test_a_call_that_waits_for_its_next_request_gives_way_to_a_deadline(scene):
    scene.api = LedOn(scene.time)
    outcome = await scene.run(keys(2), in_flight=1, pace=EvenPace(scene.time, interval=3600), deadline=10)
    assert (outcome.ok, scene.api.calls, scene.time.now) == (0, ["k1"], 10)

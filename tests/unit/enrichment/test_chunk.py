"""One try of a chunk after another: what is called again, what is not, and how a chunk ends."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from include.common.errors import InterruptedTaskError, PermanentError, TransientError
from include.common.http.errors import AccessError, UnreachableError
from include.enrichment import breaker
from include.enrichment.chunk import ChunkCalls, Try
from include.enrichment.ledger import FileSegment, Waited
from include.enrichment.models import RowStatus
from include.enrichment.results import settle, tally

OK, FAILED, SKIPPED = RowStatus.OK, RowStatus.FAILED, RowStatus.SKIPPED


class Api:
    """Answers each key as it is told, and counts the calls of each."""

    def __init__(self):
        self.answers = {}
        self.calls = []

    async def call(self, row, permit=None):
        self.calls.append(row["id"])
        answer = self.answers.get(row["id"], {"answer to": row["id"]})
        if isinstance(answer, Exception):
            raise answer
        return answer


class NoLimit:
    """Every call starts at once; `each` is how long it is said to have waited."""

    waiting = 0.0

    def __init__(self, each=0.0):
        self.each, self.waited = each, 0.0

    async def start(self):
        self.waited += self.each

    async def defer(self, seconds):
        return


class Budget:
    """So many calls over all chunks."""

    def __init__(self, calls):
        self.left = calls

    async def take(self):
        self.left -= 1
        return self.left >= 0

    def give_back(self):
        self.left += 1


class Scene:
    """A planned run and an API."""

    def __init__(self, planning):
        self.planning = planning
        self.folder = planning.folder
        self.api = Api()

    def plan(self, rows, **choices):
        self.chunks = self.planning.plan("id\n" + "".join(f"{n}\n" for n in range(1, rows + 1)), **choices)
        return self.chunks

    async def run(self, number=1, max_tries=3, chunk=0, **parts):
        parts = {"pace": NoLimit(), "in_flight": 1} | parts
        plan, attempt = self.folder.read_plan(), Try(number, max_tries)
        return await ChunkCalls(self.folder, plan, self.chunks[chunk], attempt, **parts).run(self.api)

    def tallied(self):
        return tally(self.folder, self.folder.read_plan())

    def ended(self):
        return [(row.status, row.attempts) for row in settle(self.folder, self.folder.read_plan())]


@pytest.fixture
def scene(planning):
    made = Scene(planning)
    made.plan(3, pipeline={"single_rows": 0}, tasks=1)
    return made


async def test_a_retry_calls_only_the_rows_that_have_no_end_yet(scene):
    scene.api.answers |= {"1": TransientError("500"), "2": PermanentError("404")}
    with pytest.raises(TransientError, match=r"1 rows to call again; first: row 1 \(1\): 500"):
        await scene.run(1)
    scene.api.answers.clear()
    await scene.run(2)
    assert scene.api.calls == ["1", "2", "3", "1"]
    assert scene.ended() == [(OK, 2), (FAILED, 1), (OK, 1)]


async def test_the_calls_of_all_tries_and_what_they_waited_are_in_the_runs_tally(scene):
    scene.api.answers |= {"1": TransientError("500"), "2": PermanentError("404")}
    with pytest.raises(TransientError):
        await scene.run(1, pace=NoLimit(each=30.5))
    scene.api.answers.clear()
    await scene.run(2, pace=NoLimit(each=2.0))
    found = scene.tallied()
    assert (found.calls, found.retries, found.waited) == (4, 1, 3 * 30.5 + 2.0)


async def test_the_calls_of_a_chunk_that_was_cleared_are_all_counted(scene):
    await scene.run(1, max_tries=3, pace=NoLimit(each=1.0))
    await scene.run(2, max_tries=4, pace=NoLimit(each=1.0))
    found = scene.tallied()
    assert (found.counts.ok, found.calls, found.retries, found.waited) == (3, 6, 3, 6.0)


async def test_what_the_calls_of_a_try_waited_is_kept_where_its_credentials_are_refused(scene):
    scene.api.answers["2"] = AccessError("401")
    with pytest.raises(AccessError):
        await scene.run(1, pace=NoLimit(each=5.0))
    assert scene.tallied().waited == 10.0


async def test_waits_that_cannot_be_kept_cost_a_warning_and_no_try(scene, monkeypatch, caplog):
    append = FileSegment.append

    async def full(self, line):
        if isinstance(line, Waited):
            raise TransientError("no space left")
        await append(self, line)

    monkeypatch.setattr(FileSegment, "append", full)
    await scene.run(1, pace=NoLimit(each=5.0))
    assert "how long the calls waited was not kept: no space left" in caplog.text
    assert (scene.ended(), scene.tallied().waited) == ([(OK, 1)] * 3, 0.0)


async def test_a_long_key_does_not_push_the_reason_out_of_the_message(planning):
    scene = Scene(planning)
    key = "\x1b" + "k" * 5000
    scene.chunks = planning.plan(f"id\n{key}\n")
    scene.api.answers[key] = TransientError("500")
    with pytest.raises(TransientError) as caught:
        await scene.run(1)
    assert str(caught.value) == rf"1 rows to call again; first: row 1 (\x1b{'k' * 26}…{'k' * 29}): 500"


async def test_on_the_last_try_a_row_that_still_fails_is_recorded_and_the_run_goes_on(scene):
    scene.api.answers["1"] = TransientError("500")
    outcome = await scene.run(1, max_tries=0)
    assert (outcome.ok, outcome.transient) == (2, 1)
    assert scene.ended() == [(FAILED, 1), (OK, 1), (OK, 1)]


async def test_clearing_a_chunk_that_had_ended_calls_its_rows_again(scene):
    await scene.run(1, max_tries=3)
    scene.api.answers["2"] = PermanentError("404")
    await scene.run(2, max_tries=4)
    assert scene.api.calls == ["1", "2", "3"] * 2
    assert scene.ended() == [(OK, 1), (FAILED, 1), (OK, 1)]


async def test_the_retries_of_a_cleared_chunk_do_not_begin_once_more(scene):
    await scene.run(1, max_tries=3)
    scene.api.answers["2"] = TransientError("500")
    with pytest.raises(TransientError):
        await scene.run(2, max_tries=4)
    scene.api.answers.clear()
    await scene.run(3, max_tries=4)
    assert scene.api.calls == ["1", "2", "3", "1", "2", "3", "2"]


async def test_a_task_whose_success_airflow_did_not_hear_of_calls_nothing_again(scene):
    await scene.run(1, max_tries=3)
    await scene.run(2, max_tries=3)
    assert scene.api.calls == ["1", "2", "3"]


async def test_clearing_a_chunk_that_failed_goes_on_where_it_ended(scene):
    scene.api.answers["2"] = AccessError("401: refused")
    with pytest.raises(AccessError):
        await scene.run(1, max_tries=3)
    scene.api.answers.clear()
    await scene.run(2, max_tries=4)
    assert scene.api.calls == ["1", "2", "3", "2"]  # what was never called goes first


async def test_a_refusal_stops_the_chunks_that_start_later_until_one_is_cleared(scene):
    scene.plan(4, pipeline={"single_rows": 0}, tasks=2)
    scene.api.answers["1"] = AccessError("401: refused")
    for chunk in (0, 1):
        with pytest.raises(PermanentError, match="401: refused"):
            await scene.run(1, max_tries=3, chunk=chunk)
    assert scene.api.calls == ["1"]
    scene.api.answers.clear()
    for chunk in (1, 0):
        await scene.run(2, max_tries=4, chunk=chunk)
    assert sorted(scene.api.calls) == ["1", "1", "2", "3", "4"]


async def test_rows_beyond_the_budget_are_skipped_and_the_others_published(scene):
    scene.plan(6, pipeline={"single_rows": 0}, tasks=2, max_calls=4)
    budget = Budget(4)
    for chunk in (0, 1):
        await scene.run(1, chunk=chunk, allowance=budget)
    assert scene.ended() == [(OK, 1)] * 4 + [(SKIPPED, 0)] * 2
    tally(scene.folder, scene.folder.read_plan())
    last = scene.folder.errors.read_text("utf-8-sig").splitlines()[-1]
    assert last == '6,skipped,0,"skipped: budget, max_calls = 4 calls were made"'


async def test_no_retry_follows_where_the_budget_is_spent(scene):
    scene.api.answers["1"] = TransientError("500")
    await scene.run(1, allowance=Budget(2))
    assert scene.ended() == [(FAILED, 1), (OK, 1), (SKIPPED, 0)]


async def test_past_the_deadline_nothing_is_called(scene):
    await scene.run(1, deadline=datetime.now(UTC) - timedelta(seconds=1))
    assert scene.api.calls == []
    assert scene.ended() == [(SKIPPED, 0)] * 3


async def test_a_process_that_is_told_to_end_leaves_the_rest_to_the_next_try(scene):
    with pytest.raises(InterruptedTaskError, match="told to end"):
        await scene.run(1, terminated=lambda: True)
    await scene.run(2)
    assert scene.ended() == [(OK, 1)] * 3


async def test_the_last_word_of_progress_counts_the_whole_chunk(scene):
    scene.api.answers["2"] = PermanentError("404")
    told = []

    async def tell(word):
        told.append(word)

    await scene.run(1, tell=tell)
    assert [(word.done, word.total, word.failed) for word in told] == [(3, 3, 1)]


async def test_a_full_disk_is_a_sentence_and_the_retry_calls_what_is_missing(scene, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("include.enrichment.chunk.open_segment", lambda *_: FileSegment(Path("/dev/full")))
        with pytest.raises(TransientError, match="answers cannot be kept in `/dev/full`: No space left on device"):
            await scene.run(1)
    await scene.run(2)
    assert scene.api.calls == ["1", "1", "2", "3"]
    assert scene.ended() == [(OK, 1)] * 3


async def test_a_line_that_a_kill_cut_off_is_called_again_and_no_other(scene):
    await scene.run(1)
    segment = scene.folder.segments / "00000.001.jsonl"
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(lines[0] + lines[1][:20])
    await scene.run(2)
    assert scene.api.calls == ["1", "2", "3", "2", "3"]
    assert scene.ended() == [(OK, 1)] * 3


async def test_the_answers_stand_in_the_segment_as_they_came(scene):
    scene.api.answers["1"] = {"big": 2**70, "text": "ж\u2028", "deep": [[{"a": None}]]}
    await scene.run(1)
    first = (scene.folder.segments / "00000.001.jsonl").read_bytes().splitlines()[0]
    assert json.loads(first)["answer"] == scene.api.answers["1"]


async def test_a_storage_that_is_gone_is_an_error_and_the_retry_goes_on_once_it_is_back(scene):
    scene.api.answers["2"] = TransientError("500")
    with pytest.raises(TransientError):
        await scene.run(1)
    plan, path = scene.folder.read_plan(), scene.folder.path
    away = path.rename(path.with_name("away"))
    calls = ChunkCalls(scene.folder, plan, scene.chunks[0], Try(2, 3), NoLimit(), in_flight=1)
    with pytest.raises(OSError, match=r"rows\.jsonl"):
        await calls.run(scene.api)
    away.rename(path)
    scene.api.answers.clear()
    await scene.run(3)
    assert scene.api.calls == ["1", "2", "3", "2"]
    assert scene.ended() == [(OK, 1), (OK, 2), (OK, 1)]


async def test_a_row_of_a_task_of_its_own_waits_for_a_server_that_has_answered_another(planning, monkeypatch):
    monkeypatch.setattr(breaker, "FIRST_PAUSE", 0.001)
    scene = Scene(planning)
    scene.plan(2)

    class Restarting(Api):
        async def call(self, row, permit=None):
            answer = await super().call(row, permit)
            if row["id"] == "2" and self.calls.count("2") <= 2:
                raise UnreachableError("connection failed: refused")
            return answer

    scene.api = Restarting()
    with pytest.raises(TransientError, match="1 rows to call again"):
        await scene.run(chunk=1)
    await scene.run(chunk=0)
    await scene.run(2, chunk=1)
    assert scene.api.calls == ["2", "1", "2", "2"]
    assert scene.ended() == [(OK, 1), (OK, 3)]


async def test_a_task_that_ended_without_an_answer_is_no_sign_of_the_server(planning):
    scene = Scene(planning)
    scene.plan(2)
    scene.api.answers = dict.fromkeys("12", UnreachableError("connection failed: refused"))
    assert (await scene.run(1, max_tries=0)).transient == 1
    assert (await scene.run(1, max_tries=0, chunk=1)).transient == 1
    assert scene.api.calls == ["1", "2"]

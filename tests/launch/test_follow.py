"""Following a run, against an API that fails for a while and a clock that is an argument."""

import io

import psutil
import pytest

from include.common.errors import PermanentError, TransientError
from include.enrichment.models import Chunk, Counts
from include.enrichment.report import Report
from include.enrichment.run import Plan, RunFolder, Source
from include.launch.embedded.processes import Running, Started
from include.launch.embedded.run import Located
from include.launch.follow import PATIENCE, Follower
from include.launch.redrive_hint import Again
from include.launch.run_request import RunRequest
from include.orchestration.rest import TaskState

AWAY = TransientError("the api-server does not answer (timed out)")


class Api:
    """Answers with the states in turn, and raises those that are errors; the last one stays."""

    def __init__(self, *states, others=()):
        self.states, self.others, self.asked = list(states), others, 0

    def run_state(self, dag_id, run_id):
        self.asked += 1
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if isinstance(state, Exception):
            raise state
        return state

    def task_states(self, dag_id, run_id):
        return [TaskState("call_api", 0, "running")]

    def kept_state(self, *_):
        return {"done": 2, "failed": 0, "waiting": 0.0}

    def unfinished_runs(self, dag_id):
        return [{"dag_run_id": run_id} for run_id in ("r", *self.others)]


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def folder(tmp_path):
    made = RunFolder(tmp_path, "csv_processing", "r")
    made.create()
    source = Source("in.csv", 1, "0", "utf-8", ",", ("id",))
    chunks = (Chunk(0, "rows 1-4", 1, 4, 4, 0, 1),)
    made.write_plan(Plan(source, "o.json", "id", "2/minute", None, False, rows=4, to_call=4, chunks=chunks))
    return made


def follow(folder, api, given=None):
    """The state that a follower comes to, its output, and the seconds that it took."""
    clock, output = Clock(), io.StringIO()
    request = RunRequest("csv_processing", given or {})
    airflow = api if not isinstance(api, Api) else lambda: api
    state = Follower(airflow, folder, request, output, clock, clock.sleep).follow()
    return state, output.getvalue(), clock.now - 100


def test_a_run_is_shown_queued_behind_another_at_work_and_to_its_end(folder):
    api = Api("queued", "running", "success", others=["earlier"])
    state, told, _ = follow(folder, api)
    assert state == "success"
    assert "limit 2/minute: 4 calls take at least" in told
    assert "(the DAG's own limit; RATE=none or RATE=50/second changes it)" in told
    assert "queued behind earlier" in told


def test_the_rows_are_shown_of_a_run_at_work(folder):
    assert "2/4 rows  call_api 1 running" in follow(folder, Api("running", "success"))[1]


def test_a_limit_that_the_run_was_given_is_not_explained(folder):
    assert "(the DAG's own limit" not in follow(folder, Api("success"), {"rate_limit": "2/minute"})[1]


def test_an_unanswered_request_is_told_once_and_the_follower_goes_on(folder):
    state, told, seconds = follow(folder, Api("running", *[AWAY] * 80, "running", "failed"))
    assert state == "failed"
    assert 40 <= seconds < 60
    sentence = "the api-server does not answer (timed out); the run goes on; waiting up to 5 min"
    assert told.splitlines().count(sentence) == 1
    assert "no answer for " in told
    assert "answered again after 40 s" in told


def test_two_absences_are_two_and_each_has_its_own_patience(folder):
    half = [AWAY] * int(PATIENCE / 0.5 * 0.9)
    state, told, seconds = follow(folder, Api("running", *half, "running", *half, "success"))
    assert (state, told.count("waiting up to 5 min")) == ("success", 2)
    assert seconds > PATIENCE


def test_after_five_minutes_without_an_answer_the_follower_gives_up_and_says_that_the_run_goes_on(folder):
    api = Api(AWAY)
    with pytest.raises(TransientError, match=r"waited 5 min for an answer, the run goes on without being followed$"):
        follow(folder, api)
    assert api.asked == PATIENCE / 0.5 + 1


def test_storage_that_is_away_is_waited_for_as_well(folder):
    assert follow(folder, Api(OSError("no bucket"), "success"))[0] == "success"


def test_an_error_that_stays_ends_the_follower_at_once(folder):
    api = Api(PermanentError("no such run"))
    with pytest.raises(PermanentError):
        follow(folder, api)
    assert api.asked == 1


def summary(folder, report, again=None):
    output = io.StringIO()
    report.write(folder)
    follower = Follower(Api, folder, RunRequest("csv_processing"), output)
    follower.summarize(report.state, again or Again("make run"))
    return output.getvalue()


def test_the_summary_ends_with_the_command_for_what_has_no_answer(folder):
    report = Report("csv_processing", "r", "success", 1.0, Counts(4, 1, 1, 2), callable=3, skipped={"deadline": 2})
    lines = summary(folder, report).splitlines()
    assert lines[2] == "  skipped: 2 deadline"
    assert lines[-1].startswith("to call the 3 rows without an answer (3 calls, more where one is retried): make run ")


def test_the_summary_has_no_command_where_no_row_can_be_called(folder):
    report = Report("csv_processing", "r", "success", 1.0, Counts(4, 1, 1, 2), skipped={"repeated key": 2})
    assert "make run" not in summary(folder, report)


@pytest.mark.parametrize(("lasting", "error"), [(True, TransientError), (False, PermanentError)])
def test_an_airflow_whose_process_has_died_is_waited_for_only_where_it_lasts(home, lasting, error):
    located = Located(home, Running(1, lasting=lasting, processes=[Started("scheduler", 1, 0.0)]))
    with pytest.raises(error, match="Airflow's scheduler has ended"):
        located()


def test_an_airflow_that_was_started_anew_elsewhere_is_found(home, sleeper):
    running = Running(1, lasting=True, processes=[Started("scheduler", 1, 0.0)])
    located = Located(home, running)
    alive = Started("scheduler", sleeper.pid, psutil.Process(sleeper.pid).create_time())
    Running(2, lasting=True, processes=[alive]).save(home)
    assert located().web == "http://127.0.0.1:2"

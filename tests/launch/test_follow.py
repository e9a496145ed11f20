"""Following a run, against an API that fails for a while and a clock that is an argument."""

import io

import psutil
import pytest

from include.common.errors import PermanentError, TransientError
from include.launch.embedded.processes import Running, Started
from include.launch.embedded.run import Located
from include.launch.follow import PATIENCE, Follower
from include.orchestration.rest import TaskState
from include.orchestration.runner import Again
from tests.stand_ins.toys import ToyRun

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
        return [TaskState("make", 0, "running")]

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
def run():
    return ToyRun()


def follow(run, api):
    """The state that a follower comes to, its output, and the seconds that it took."""
    clock, output = Clock(), io.StringIO()
    airflow = api if not isinstance(api, Api) else lambda: api
    state = Follower(airflow, run, output, clock, clock.sleep).follow()
    return state, output.getvalue(), clock.now - 100


def test_a_run_is_shown_queued_behind_another_at_work_and_to_its_end(run):
    api = Api("queued", "running", "success", others=["earlier"])
    state, told, _ = follow(run, api)
    assert state == "success"
    assert "queued behind earlier" in told


def test_what_is_foreseen_is_said_once_as_soon_as_it_is_known(run):
    assert follow(run, Api(*["running"] * 9, "success"))[1].count("4 toys take a while\n") == 1


def test_it_is_shown_how_far_a_run_at_work_is_in_its_systems_words(run):
    assert "2/4 toys  make 1 running, 1 toy broken\n" in follow(run, Api("running", "success"))[1]


def test_a_run_is_not_asked_at_every_look(run):
    follow(run, Api(*["running"] * 9, "success"))
    assert run.asked == 5


def test_an_unanswered_request_is_told_once_and_the_follower_goes_on(run):
    state, told, seconds = follow(run, Api("running", *[AWAY] * 80, "running", "failed"))
    assert state == "failed"
    assert 40 <= seconds < 60
    sentence = "the api-server does not answer (timed out); the run goes on; waiting up to 7 min"
    assert told.splitlines().count(sentence) == 1
    assert "no answer for " in told
    assert "answered again after 40 s" in told


def test_two_absences_are_two_and_each_has_its_own_patience(run):
    half = [AWAY] * int(PATIENCE / 0.5 * 0.9)
    state, told, seconds = follow(run, Api("running", *half, "running", *half, "success"))
    assert (state, told.count("waiting up to 7 min")) == ("success", 2)
    assert seconds > PATIENCE


def test_after_five_minutes_without_an_answer_the_follower_gives_up_and_says_that_the_run_goes_on(run):
    api = Api(AWAY)
    with pytest.raises(TransientError, match=r"waited 7 min for an answer, the run goes on without being followed$"):
        follow(run, api)
    assert api.asked == PATIENCE / 0.5 + 1


def test_storage_that_is_away_is_waited_for_as_well(run):
    assert follow(run, Api(OSError("no bucket"), "success"))[0] == "success"


def test_an_error_that_stays_ends_the_follower_at_once(run):
    api = Api(PermanentError("no such run"))
    with pytest.raises(PermanentError):
        follow(run, api)
    assert api.asked == 1


def summary(run):
    output = io.StringIO()
    Follower(Api, run, output).summarize("failed", Again("make run", {"HEADRACE_HOME": "/a home"}))
    return output.getvalue().splitlines()


def test_the_summary_is_the_report_and_the_command_for_what_is_left():
    hint = "to mend them: make run MEND=r HEADRACE_HOME='/a home'"
    assert summary(ToyRun(told="one toy")) == ["one toy", hint]
    assert summary(ToyRun(told="one toy", dag_id="toys")) == ["one toy", f"{hint} DAG=toys"]


def test_a_run_without_a_report_is_said_to_have_none(run):
    assert summary(run) == ["csv_processing: failed, and it left no report; see the tasks' logs"]


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

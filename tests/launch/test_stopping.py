"""A run that a person stops, against an API that is a list of states and a clock that is an argument."""

import pytest

from include.common.errors import TransientError
from include.launch.embedded.stopping import FOR_CALLS, LONGEST, REASON, stop_run
from include.orchestration.rest import TaskState
from tests.stand_ins.toys import ToyRun

CALLING = [TaskState("make", 0, "running"), TaskState("make", 1, "running")]
REPORTING = [TaskState("notify", -1, "running")]


class Api:
    """The run ends so many seconds after it was marked as failed; its tasks are `tasks` until then."""

    def __init__(self, clock, tasks, ends_after=0.5, away=False):
        self.clock, self.tasks, self.ends_after, self.away = clock, tasks, ends_after, away
        self.failed_at = []

    def run_state(self, dag_id, run_id):
        if self.away:
            raise TransientError("the api-server does not answer (timed out)")
        over = self.failed_at and self.clock() - self.failed_at[0] >= self.ends_after
        return "failed" if over else "running"

    def task_states(self, dag_id, run_id):
        return self.tasks

    def fail_run(self, dag_id, run_id):
        if self.away:
            raise TransientError("the api-server does not answer (timed out)")
        self.failed_at.append(self.clock())


class Clock:
    now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def run():
    return ToyRun()


def stopped(run, tasks, hurry=(), **api):
    clock = Clock()
    found = Api(clock, tasks, **api)
    return stop_run(found, run, list(hurry), clock, clock.sleep), found, clock.now


def test_the_tasks_are_told_first_and_the_run_is_marked_once_its_calls_have_had_their_time(run, capsys):
    ended, api, seconds = stopped(run, CALLING)
    assert run.stopped == [REASON]
    assert (ended, api.failed_at) == (True, [FOR_CALLS])
    assert seconds < LONGEST
    assert "  waiting for make 2 running\n" in capsys.readouterr().out


def test_a_run_without_calls_under_way_is_marked_at_once_and_its_report_is_waited_for(run, capsys):
    ended, api, seconds = stopped(run, REPORTING)
    assert (ended, api.failed_at, seconds) == (True, [0.0], 0.5)
    assert capsys.readouterr().out.count("  waiting for notify 1 running\n") == 1


def test_nobody_waits_longer_than_was_said(run):
    ended, api, seconds = stopped(run, CALLING, ends_after=60)
    assert (ended, seconds, len(api.failed_at)) == (False, LONGEST, 1)


def test_a_second_ctrl_c_waits_no_more_and_the_run_is_marked_all_the_same(run):
    ended, api, seconds = stopped(run, CALLING, hurry=[2])
    assert (ended, seconds, api.failed_at) == (False, 0.0, [0.0])


def test_an_api_server_that_is_away_is_said_and_holds_nothing_up(run, capsys):
    ended, _, seconds = stopped(run, CALLING, away=True)
    assert (ended, seconds) == (False, LONGEST)
    assert "  waiting for an answer: the api-server does not answer (timed out)\n" in capsys.readouterr().out


def test_a_run_whose_tasks_cannot_be_told_is_marked_all_the_same(run, capsys, monkeypatch):
    def stop(reason):
        raise TransientError("`stop.json` cannot be written: No space left on device")

    monkeypatch.setattr(run, "stop", stop)
    ended, api, _ = stopped(run, REPORTING)
    assert (ended, api.failed_at) == (True, [0.0])
    assert "  the run's folder cannot be written to: `stop.json` cannot be written" in capsys.readouterr().out

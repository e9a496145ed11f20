"""A run that a person stops, against an API that is a list of states and a clock that is an argument."""

import pytest

from include.common.errors import TransientError
from include.enrichment.run import RunFolder
from include.launch.embedded.stopping import FOR_CALLS, LONGEST, REASON, stop_run
from include.orchestration.rest import TaskState

CALLING = [TaskState("call_api", 0, "running"), TaskState("call_api", 1, "running")]
REPORTING = [TaskState("call_api", 0, "failed"), TaskState("notify", -1, "running")]


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
def folder(tmp_path):
    return RunFolder(tmp_path, "csv_processing", "r")


def stopped(folder, tasks, hurry=(), **api):
    clock = Clock()
    found = Api(clock, tasks, **api)
    return stop_run(found, folder, "csv_processing", list(hurry), clock, clock.sleep), found, clock.now


def test_the_tasks_are_told_first_and_the_run_is_marked_once_its_calls_have_had_their_time(folder, capsys):
    folder.create()
    ended, api, seconds = stopped(folder, CALLING)
    assert folder.stopped() == REASON
    assert (ended, api.failed_at) == (True, [FOR_CALLS])
    assert seconds < LONGEST
    assert "  waiting for call_api 2 running\n" in capsys.readouterr().out


def test_a_run_without_calls_under_way_is_marked_at_once_and_its_report_is_waited_for(folder, capsys):
    ended, api, seconds = stopped(folder, REPORTING)
    assert (ended, api.failed_at, seconds) == (True, [0.0], 0.5)
    assert not folder.mark.exists()
    assert capsys.readouterr().out.count("  waiting for notify 1 running\n") == 1


def test_nobody_waits_longer_than_was_said(folder):
    ended, api, seconds = stopped(folder, CALLING, ends_after=60)
    assert (ended, seconds, len(api.failed_at)) == (False, LONGEST, 1)


def test_a_second_ctrl_c_waits_no_more_and_the_run_is_marked_all_the_same(folder):
    ended, api, seconds = stopped(folder, CALLING, hurry=[2])
    assert (ended, seconds, api.failed_at) == (False, 0.0, [0.0])


def test_an_api_server_that_is_away_is_said_and_holds_nothing_up(folder, capsys):
    ended, _, seconds = stopped(folder, CALLING, away=True)
    assert (ended, seconds) == (False, LONGEST)
    assert "  waiting for an answer: the api-server does not answer (timed out)\n" in capsys.readouterr().out

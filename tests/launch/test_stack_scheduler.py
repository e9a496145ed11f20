"""The stack's scheduler: its own standstill is not the death of workers."""

import inspect

import pytest
from airflow.cli.commands import scheduler_command
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner

from include.launch.stack.scheduler import PatientScheduler, Vigil

TIMEOUT = 60


class Clock:
    now = 1_700_000_000.0

    def __call__(self):
        return self.now


class Watched:
    """A vigil that looks every 5 s, as the scheduler does."""

    def __init__(self):
        self.clock = Clock()
        self.vigil = Vigil(TIMEOUT, self.clock)

    def look_for(self, seconds):
        """What each look of the next `seconds` came to."""
        found = []
        for _ in range(int(seconds / 5)):
            self.clock.now += 5
            found.append(self.vigil.is_telling())
        return found


def test_silence_tells_something_once_it_was_listened_to_for_long_enough():
    assert Watched().look_for(70) == [False] * 11 + [True] * 3


def test_after_a_standstill_tasks_have_the_whole_time_to_give_a_sign_of_life():
    watched = Watched()
    watched.look_for(600)
    watched.clock.now += 300
    assert not watched.vigil.is_telling()
    assert watched.look_for(70) == [False] * 11 + [True] * 3


def test_a_busy_loop_is_no_standstill():
    watched = Watched()
    watched.look_for(600)
    watched.clock.now += TIMEOUT / 2
    assert watched.vigil.is_telling()


@pytest.fixture
def scheduler(monkeypatch):
    """The scheduler as far as its search for silent tasks; Airflow's own finds one."""
    monkeypatch.setattr(
        SchedulerJobRunner, "_find_task_instances_without_heartbeats", lambda self, *, session: ["silent"]
    )
    found = PatientScheduler.__new__(PatientScheduler)
    found._task_instance_heartbeat_timeout_secs = TIMEOUT
    return found


def test_a_scheduler_that_has_only_begun_finds_no_task_dead(scheduler):
    assert scheduler._find_task_instances_without_heartbeats(session=None) == []


def test_a_scheduler_that_has_listened_finds_what_airflow_finds(scheduler):
    clock = Clock()
    scheduler._vigil = Vigil(TIMEOUT, clock)
    for _ in range(12):
        clock.now += 5
        found = scheduler._find_task_instances_without_heartbeats(session=None)
    assert found == ["silent"]


def test_airflow_still_looks_for_silent_tasks_by_that_method_and_starts_that_class():
    assert "self._find_task_instances_without_heartbeats(" in inspect.getsource(
        SchedulerJobRunner._find_and_purge_task_instances_without_heartbeats
    )
    assert "SchedulerJobRunner(" in inspect.getsource(scheduler_command._run_scheduler_job)

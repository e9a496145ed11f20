"""The parts of the embedded Airflow that need none to be tested; the whole is tested end to end."""

import io
import json
import subprocess
import sys

import psutil
import pytest

from include.common.errors import ConfigError, HeadraceError
from include.enrichment.models import Chunk
from include.enrichment.run import Plan, RunFolder
from include.launch.embedded import commands, processes
from include.launch.embedded.environment import Home, airflow_environment, user_environment
from include.launch.embedded.processes import Running, Started
from include.launch.embedded.progress import Progress, Rows, at_work
from include.launch.run_request import read_request
from include.orchestration.pools import POOLS
from include.orchestration.rest import TaskState


@pytest.fixture
def home(tmp_path):
    made = Home(tmp_path / "home")
    made.create()
    return made


@pytest.fixture
def sleeper():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def started(process, shift=0.0):
    return Started("sleeper", process.pid, psutil.Process(process.pid).create_time() + shift)


def test_the_files_with_secrets_are_their_owners_only(home):
    home.secrets()
    assert [(home.path / name).stat().st_mode & 0o777 for name in ("passwords.json", "secrets.json")] == [0o600] * 2


def test_secrets_and_password_are_made_once(home):
    first = (home.secrets(), home.password())
    home.create()
    assert (Home(home.path).secrets(), Home(home.path).password()) == first
    assert all(len(secret) > 30 for secret in first[0].values())


def test_the_environment_wins_over_the_defaults_but_an_empty_variable_does_not(monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__WORKERS", "")
    monkeypatch.setenv("AIRFLOW__CORE__PARALLELISM", "3")
    found = user_environment()
    assert (found["AIRFLOW__API__WORKERS"], found["AIRFLOW__CORE__PARALLELISM"]) == ("1", "3")


def test_an_airflow_for_one_run_starts_no_scheduled_runs(home):
    assert airflow_environment(home, 1, None, schedule=False)["AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE"] == "False"
    assert airflow_environment(home, 1, None, schedule=True)["AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE"] == "True"


def test_a_process_is_ours_only_with_its_start_time(sleeper):
    assert started(sleeper).process() is not None
    assert started(sleeper, shift=-100).process() is None


def test_stop_ends_what_is_ours_and_leaves_a_process_that_took_the_same_id(home, sleeper):
    running = Running(8080, lasting=True, processes=[started(sleeper, shift=-100)])
    running.save(home)
    assert processes.stop(home, running) == []
    assert sleeper.poll() is None
    assert processes.stop(home, Running(8080, lasting=True, processes=[started(sleeper)])) == ["sleeper"]
    assert not psutil.pid_exists(sleeper.pid) or psutil.Process(sleeper.pid).status() == psutil.STATUS_ZOMBIE


def test_what_runs_is_found_again_from_its_file(home, sleeper):
    running = Running(8080, lasting=True, demo_port=1, processes=[started(sleeper)])
    running.save(home)
    assert processes.find_running(home) == running


def test_a_file_of_processes_that_are_gone_is_nothing_running(home):
    Running(8080, lasting=True, processes=[Started("gone", 1, 0.0)]).save(home)
    assert processes.find_running(home) is None


def test_a_broken_file_of_what_runs_is_an_error_with_its_path(home):
    (home.path / "running.json").write_text("{")
    with pytest.raises(ConfigError, match=r"running\.json` is not readable"):
        processes.find_running(home)


def test_two_starts_at_once_are_refused(home):
    with (
        processes.alone(home),
        pytest.raises(HeadraceError, match="another `make run`, `make up` or `make down`"),
        processes.alone(home),
    ):
        pass


def test_a_process_that_died_is_told_with_the_end_of_its_log(home):
    (home.logs / "gone.log").write_text("first\nlast words\n")
    with pytest.raises(HeadraceError, match="Airflow's gone has ended; its log ends with\nfirst\nlast words"):
        processes.check_alive(home, Running(1, lasting=False, processes=[Started("gone", 1, 0.0)]))


def test_only_what_was_asked_for_goes_into_the_conf(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_request("csv_processing", {"CSV": "", "DRY_RUN": "0"}, None, commands.place).conf() == {}
    given = {"CSV": "ä b.csv", "LIMIT": "5", "RATE": "none", "DRY_RUN": "1"}
    assert read_request("csv_processing", given, None, commands.place).conf() == {
        "source": str(tmp_path / "ä b.csv"),
        "limit": 5,
        "rate_limit": "none",
        "dry_run": True,
    }


def calls(*states):
    return [
        TaskState("plan", -1, "success"),
        *(TaskState("call_api", index, state) for index, state in enumerate(states)),
    ]


def test_the_tasks_at_work_are_counted():
    assert at_work(calls("running", "running", "up_for_retry")) == "call_api 2 running, call_api 1 waiting for a retry"


def planned(*rows):
    chunks = tuple(Chunk(index, f"rows {index}", 1, count, count, 0, 1) for index, count in enumerate(rows))
    fields = ("in.csv", 1, "0", "utf-8", ",", ("id",), "id", "o.json", "2/minute", None, False)
    return Plan(*fields, rows=sum(rows), to_call=sum(rows), chunks=chunks)


def test_rows_are_counted_by_what_the_tasks_say_and_by_tasks_where_these_are_one_row():
    asked = []

    def ask(index):
        asked.append(index)
        return {"done": 30, "failed": 2, "waiting": 7.0} if index == 0 else None

    rows = Rows(ask)
    rows.update(planned(100, 100, 1, 1), calls("running", "queued", "success", "running"), now=1.0)
    assert (rows.done, rows.failed, rows.waiting) == (31, 2, 7.0)
    assert asked == [0]


def test_the_tasks_are_not_asked_at_every_look_and_no_more_once_they_have_ended():
    asked = []

    def ask(index):
        asked.append(index)
        return {"done": 100, "failed": 0, "waiting": 0.0}

    rows = Rows(ask)
    for now in (1.0, 1.5, 5.0, 10.0):
        rows.update(planned(100), calls("running" if now < 5 else "success"), now)
    assert asked == [0, 0]
    assert rows.done == 100


def test_the_progress_shows_rows_failures_and_waits(tmp_path):
    folder = RunFolder(tmp_path, "csv_processing", "r")
    folder.create()
    folder.write_plan(planned(4))
    output = io.StringIO()
    progress = Progress(folder, Rows(lambda index: {"done": 2, "failed": 1, "waiting": 24.0}), output)
    assert progress.find_plan()
    assert not progress.find_plan()
    progress.show(calls("running"), "running")
    told = "2/4 rows  call_api 1 running, 1 rows failed, waiting 24 s for the limit 2/minute"
    assert told in output.getvalue()


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_a_bar(tmp_path):
    folder = RunFolder(tmp_path, "csv_processing", "r")
    folder.create()
    folder.write_plan(planned(4))
    output = Terminal()
    progress = Progress(folder, Rows(lambda index: {"done": 3, "failed": 0, "waiting": 0.0}), output)
    progress.find_plan()
    progress.show(calls("running"), "running")
    progress.end()
    assert "3/4" in output.getvalue()
    assert "call_api 1 running" in output.getvalue()


def test_the_pools_file_is_what_airflow_imports():
    pools = json.loads(POOLS.read_text())
    assert all({"slots", "description", "include_deferred"} <= set(pool) for pool in pools.values())

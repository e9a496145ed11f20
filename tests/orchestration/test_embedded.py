"""The parts of the embedded Airflow that need none to be tested; the whole is tested end to end."""

import io
import json
import subprocess
import sys

import psutil
import pytest

from include.common.errors import ConfigError, HeadraceError
from include.enrichment.ledger import Entry, Segment
from include.enrichment.models import RowStatus
from include.enrichment.run import Plan, RunFolder
from include.orchestration.embedded import processes
from include.orchestration.embedded.commands import RunRequest, _at_work
from include.orchestration.embedded.environment import Home, airflow_environment, user_environment
from include.orchestration.embedded.processes import Running, Started
from include.orchestration.embedded.progress import Progress, SegmentCounter
from include.orchestration.pools import POOLS


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
    monkeypatch.setenv("HEADRACE_STORAGE", "")
    monkeypatch.setenv("AIRFLOW__CORE__PARALLELISM", "3")
    found = user_environment()
    assert (found["HEADRACE_STORAGE"], found["AIRFLOW__CORE__PARALLELISM"]) == ("data", "3")


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
    assert RunRequest("csv_processing").conf() == {}
    assert RunRequest("csv_processing", source="ä b.csv", limit=5, rate="none", dry_run=True).conf() == {
        "source": str(tmp_path / "ä b.csv"),
        "limit": 5,
        "rate_limit": "none",
        "dry_run": True,
    }


def test_the_tasks_at_work_are_counted():
    states = [("call_api", "running"), ("call_api", "running"), ("call_api", "up_for_retry"), ("plan", "success")]
    assert _at_work(states) == "call_api 2 running, call_api 1 waiting for a retry"


def write_segments(folder):
    with Segment(folder, 0, 1) as segment:
        segment.append(Entry(1, RowStatus.OK, 1, answer={"status": "failed"}))
        segment.append(Entry(2, RowStatus.RETRY, 1, "500"))
        segment.append(Entry(3, RowStatus.FAILED, 1, "404"))


def test_ended_rows_are_counted_and_a_half_written_line_is_not(tmp_path):
    write_segments(tmp_path)
    with (tmp_path / "00000.001.jsonl").open("a") as stream:
        stream.write('{"n": 4, "status": "ok"')
    counter = SegmentCounter(tmp_path)
    counter.update()
    counter.update()
    assert (counter.ok, counter.failed) == (1, 1)


def test_the_progress_shows_rows_and_failures(tmp_path):
    folder = RunFolder(tmp_path, "csv_processing", "r")
    folder.segments.mkdir(parents=True)
    plan = Plan("in.csv", 1, "0", "utf-8", ",", ("id",), "id", "o.json", "none", None, False, rows=4, to_call=4)
    folder.write_plan(plan)
    write_segments(folder.segments)
    output = io.StringIO()
    progress = Progress(folder, output)
    assert progress.find_plan()
    assert not progress.find_plan()
    progress.show("call_api 1 running")
    assert "[##########          ] 2/4 rows, 1 failed  call_api 1 running" in output.getvalue()


def test_the_pools_file_is_what_airflow_imports():
    pools = json.loads(POOLS.read_text())
    assert all({"slots", "description", "include_deferred"} <= set(pool) for pool in pools.values())

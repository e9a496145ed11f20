"""The scheduler's imports: what DAG files need of other packages is there before tasks are forked."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from include.launch.embedded import scheduler
from include.launch.embedded.service import _command
from include.orchestration.paths import PROJECT

SCRIPT = Path(__file__).with_name("import_preloaded.py")
DAG_FILES = sorted((PROJECT / "dags").glob("*.py"))


def imported_by(path, *left_out):
    ended = subprocess.run(
        [sys.executable, SCRIPT, path, *left_out],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout.split()


@pytest.mark.parametrize("path", DAG_FILES, ids=lambda path: path.stem)
def test_a_dag_file_imports_no_package_that_is_not_preloaded(path):
    assert imported_by(path) == []


def test_the_guard_sees_a_package_that_is_not_preloaded():
    assert "aiohttp" in imported_by(PROJECT / "dags/csv_processing.py", "aiohttp")


def test_a_lasting_scheduler_leaves_the_bundle_to_the_tasks():
    assert _command("scheduler", lasting=True) == ["include.launch.embedded.scheduler", "--skip-serve-logs"]


def test_the_scheduler_of_one_run_imports_the_bundle_as_well():
    assert _command("scheduler", lasting=False)[-1] == "--with-bundle"


def test_the_other_services_are_airflows_own():
    assert _command("api-server", lasting=True) == ["airflow", "api-server"]
    assert _command("triggerer", lasting=True) == ["airflow", "triggerer", "--skip-serve-logs"]


def test_the_scheduler_begins_once_the_api_server_listens(monkeypatch):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        looks = []

        def sleep(seconds):
            looks.append(seconds)
            if len(looks) == 3:
                server.listen()

        monkeypatch.setattr(scheduler.time, "sleep", sleep)
        scheduler.wait_for_api(f"http://127.0.0.1:{server.getsockname()[1]}/execution/")
    assert len(looks) == 3


def test_the_scheduler_begins_without_an_api_server_in_the_end(monkeypatch):
    monkeypatch.setattr(scheduler, "PATIENCE", 0.2)
    scheduler.wait_for_api("http://127.0.0.1:9/execution/")
    scheduler.wait_for_api("")

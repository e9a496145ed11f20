"""The process that stands before the stack's Celery worker."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from include.common.database import connect
from include.common.limits.workers import Workers
from include.common.schema import migrate
from include.launch.stack import worker as module
from include.orchestration.paths import PROJECT
from include.orchestration.termination import STOPPING

# Ends some time after it was told to, as a worker does that waits for its tasks; says what these would see.
WORKER = f"""
import os, pathlib, signal, sys
stopping = pathlib.Path(os.environ["{STOPPING}"])
def stop(number, frame):
    print("told", number, stopping.exists(), flush=True)
    sys.exit(3)
signal.signal(signal.SIGTERM, stop)
print("began", stopping.exists(), os.getcwd(), flush=True)
signal.pause()
"""
START = (
    "import sys; from include.launch.stack import worker; "
    "sys.exit(worker.main((sys.executable, '-c', sys.argv.pop(1))))"
)


@pytest.fixture
def worker(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", START, WORKER],
        cwd=PROJECT,
        env={**os.environ, "AIRFLOW_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
    )
    yield process
    process.kill()
    process.communicate()


def test_tasks_can_see_that_their_worker_stops_and_its_end_is_waited_for(worker, tmp_path):
    assert worker.stdout.readline().decode() == f"began False {tmp_path}\n"
    worker.send_signal(signal.SIGTERM)
    assert worker.stdout.readline().decode() == f"told {signal.SIGTERM.value} True\n"
    assert worker.wait() == 3


def test_a_worker_that_is_killed_ends_its_container(worker):
    worker.stdout.readline()
    (child,) = subprocess.run(
        ["pgrep", "-P", str(worker.pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    os.kill(int(child), signal.SIGKILL)
    assert worker.wait() == 128 + signal.SIGKILL


def test_a_worker_is_announced_until_it_leaves(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path}/headrace.db"
    migrate(url)
    monkeypatch.setenv("HEADRACE_DATABASE_URL", url)
    monkeypatch.setattr(module, "ANNOUNCE_EVERY", 0.01)
    monkeypatch.setattr(module.socket, "gethostname", lambda: "a")
    workers, leaving = Workers(connect(url)), threading.Event()
    workers.announce("b")
    thread = threading.Thread(target=module.announce, args=(leaving,))
    thread.start()
    while workers.present() < 2:
        time.sleep(0.01)
    leaving.set()
    thread.join()
    assert workers.present() == 1


def test_a_worker_that_cannot_be_announced_says_so_once_and_works(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HEADRACE_DATABASE_URL", f"sqlite:///{tmp_path}/none/headrace.db")
    monkeypatch.setattr(module, "ANNOUNCE_EVERY", 0.01)
    tried, leaving = [], threading.Event()

    def waiting(_):
        tried.append(True)
        if len(tried) == 3:
            leaving.set()

    monkeypatch.setattr(leaving, "wait", waiting)
    module.announce(leaving)
    said = capsys.readouterr().err
    assert said.startswith("the worker could not be announced: ")
    assert said.count("\n") == 1

"""A real Airflow of `make up` for the whole session, with the demo API and a Telegram stand-in behind it."""

import json
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from include.launch.embedded.environment import USER, Home
from include.launch.embedded.processes import find_running, free_port
from include.orchestration.rest import AirflowApi
from tests.browser import chromium, open_page
from tests.demo import Demo
from tests.monitoring import COMPOSE
from tests.stand_ins.telegram import TelegramStandIn

PROJECT = Path(__file__).resolve().parents[2]
TOKEN = "kqz81-kqz82-kqz83-kqz84"  # that opens the metrics
# The tests' own DAGs, beside those of the project.
QUICK = {
    "name": "quick",
    "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
    "kwargs": {"path": str(PROJECT / "tests/e2e/dags")},
}


@pytest.hookimpl(tryfirst=True)  # before xdist looks at the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those of the shared Airflow follow each other in one process, those that start their own in another."""
    for item in items:
        shared = "headrace" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("shared Airflow" if shared else "own Airflow"))


@dataclass
class Made:
    """What a make target came to."""

    status: int
    output: str


def make(*arguments: str, home: Path, project: Path = PROJECT, **environment: str) -> Made:
    """Run `make` as a person would, on a home of the tests'."""
    ended = subprocess.run(
        ["make", "--no-print-directory", *arguments, f"HEADRACE_HOME={home}"],
        cwd=project,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=240,
    )
    return Made(ended.returncode, ended.stdout)


class Metrics:
    """Listens where Airflow sends its metrics to, as the stack's exporter does; `lines` are without their values."""

    def __init__(self) -> None:
        self.lines: set[str] = set()
        self._new = threading.Condition()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.environment = {
            # Whatever the stack sets to a fixed value: the format of the lines.
            **{
                name: value
                for name, value in COMPOSE["x-common"].items()
                if name.startswith("AIRFLOW__METRICS__") and "$" not in value
            },
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(self._socket.getsockname()[1]),
        }
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while line := self._socket.recv(4096).decode():
            without = re.sub(r":[^|]*", ":", line, count=1)
            if without not in self.lines:
                with self._new:
                    self.lines.add(without)
                    self._new.notify_all()

    def wait_until(self, true: Callable[[], bool], seconds: float) -> None:
        """Wait until `true` holds of the lines, looking at each new one, or so many seconds."""
        with self._new:
            self._new.wait_for(true, seconds)


@dataclass
class Headrace:
    """A running Airflow with everything around it."""

    home: Path
    storage: Path
    web: str
    demo: Demo
    telegram: TelegramStandIn
    api: AirflowApi
    metrics: Metrics

    def run(self, **variables: str) -> Made:
        """`make run` with variables such as CSV= and RATE=."""
        return make("run", *(f"{name}={value}" for name, value in variables.items()), home=self.home)

    def dead(self) -> list[str]:
        """The processes of `make up` that have ended."""
        running = find_running(Home(self.home))
        return running.dead() if running else ["everything"]

    def last_run(self, dag_id: str = "csv_processing") -> Path:
        """The folder of the newest run."""
        return max((self.storage / "runs" / dag_id).iterdir(), key=lambda path: path.stat().st_mtime_ns)

    def report(self, dag_id: str = "csv_processing") -> dict[str, Any]:
        return json.loads((self.last_run(dag_id) / "report.json").read_text())

    def errors(self, dag_id: str = "csv_processing") -> list[str]:
        return (self.last_run(dag_id) / "errors.csv").read_text("utf-8-sig").splitlines()


@pytest.fixture(autouse=True)
def alive(request):
    """A test of an Airflow that has lost a process would wait for what cannot come."""
    if "headrace" in request.fixturenames:
        assert request.getfixturevalue("headrace").dead() == []


@pytest.fixture(scope="session")
def headrace(tmp_path_factory):
    root = tmp_path_factory.mktemp("headrace ünï")
    home, storage = root / "home", root / "storage"
    metrics = Metrics()
    with TelegramStandIn() as telegram:
        made = make(
            "up",
            f"PORT={free_port()}",
            home=home,
            HEADRACE_STORAGE=str(storage),
            AIRFLOW_CONN_TELEGRAM_DEFAULT=telegram.connection,
            HEADRACE_METRICS_TOKEN=TOKEN,
            KAFKA_DEFAULT_BULK_TIMEOUT="1000",  # ms that a reader of statuses waits for more
            AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE="False",  # an hourly run would share the counters
            AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST=json.dumps([QUICK]),
            **metrics.environment,
        )
        try:
            assert made.status == 0, made.output
            running = find_running(Home(home))
            api = AirflowApi(running.web, USER, Home(home).password())
            while not all(api.find_dag(dag_id) for dag_id in ("quick", "quick_symbols")):
                assert api.import_errors(0.0) == []
                time.sleep(0.2)
            yield Headrace(home, storage, running.web, Demo(running.demos["demo-api"]), telegram, api, metrics)
        finally:
            make("down", home=home)


@pytest.fixture(scope="session")
def token(headrace):
    """A token as Airflow's login gives, for a user of a role; an Airflow on one machine has only its admin."""
    secret = json.loads((headrace.home / "secrets.json").read_text())["AIRFLOW__API_AUTH__JWT_SECRET"]

    def of(role):
        now = int(time.time())
        claims = {"sub": role, "role": role, "teams": [], "aud": "apache-airflow", "jti": f"test-{role}"}
        times = {"iat": now, "nbf": now, "exp": now + 3600}
        return jwt.encode({**claims, **times}, secret, algorithm="HS512", headers={"kid": "not-used"})

    return of


@pytest.fixture(scope="session")
def client(headrace):
    with httpx.Client(base_url=headrace.web, timeout=60, trust_env=False) as opened:
        yield opened


@pytest.fixture(scope="session")
def browser():
    with chromium() as found:
        if not found:
            pytest.skip("no Chromium is installed")
        yield found


@pytest.fixture
def page(headrace, browser, token):
    """A page of a user of a role, in Airflow's light or dark."""
    opened = []

    def open_as(role, theme="light"):
        page = open_page(browser, headrace.web)
        opened.append(page)
        page.context.add_cookies([{"name": "_token", "value": token(role), "url": headrace.web}])
        page.context.add_init_script(f"localStorage.setItem('theme', '{theme}')")
        return page

    yield open_as
    for page in opened:
        page.context.close()

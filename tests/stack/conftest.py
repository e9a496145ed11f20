"""One stack for all tests here: brought up by `make stack-up`, taken down with its volumes at the end.

STACK_KEEP=<folder> keeps it, and uses the one that an earlier call kept there. COMPOSE_TEST_PROJECT=<name> names it, so
that two can stand beside each other.
"""

import json
import os
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values

from include.common.errors import HeadraceError
from include.common.names import file_name
from include.launch.embedded.processes import free_port
from include.orchestration.rest import AirflowApi
from tests.demo import Demo

PROJECT = Path(__file__).resolve().parents[2]
NAME = os.environ.get("COMPOSE_TEST_PROJECT", "headrace-test")
ENDED = ("success", "failed")
SCHEDULED = ("csv_processing", "symbol_processing")


@dataclass
class Ended:
    """What a command came to."""

    status: int
    output: str


def run(
    command: list[str], timeout: float = 900, stdin: bytes = b"", folder: Path = PROJECT, **environment: str
) -> Ended:
    """Run a command in the project as a person would."""
    ended = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=timeout,
    )
    return Ended(ended.returncode, ended.stdout.decode())


def wait_until(true, what: str, seconds: float = 180, every: float = 0.5):
    """Wait for a condition and return its value; a test's patience, not a measure of speed."""
    deadline = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:.0f} s"
        time.sleep(every)
    return value


@dataclass
class Stack:
    """A running stack and its doors. `environment` is what its make targets are given."""

    env_local: Path
    web: str
    environment: dict[str, str]
    demo: Demo
    apis: dict[str, AirflowApi] = field(default_factory=dict)
    first_up: str = ""
    first_runs: list[dict[str, Any]] = field(default_factory=list)

    def make(self, *arguments: str, **variables: str) -> Ended:
        """A make target on this stack."""
        return run(["make", "--no-print-directory", *arguments], **{**self.environment, **variables})

    def compose(self, *arguments: str, stdin: bytes = b"", **variables: str) -> str:
        """docker compose on this stack; its output, where it succeeds."""
        ended = run(["deploy/stack.sh", "compose", *arguments], stdin=stdin, **{**self.environment, **variables})
        assert ended.status == 0, ended.output
        return ended.output

    def scale(self, workers: int) -> None:
        """Have so many workers, and wait until all of them answer."""
        self.compose("up", "--detach", "--wait", "--no-recreate", "--scale", f"worker={workers}", "worker")

    def containers(self, service: str) -> list[str]:
        """The ids of the running containers of a service."""
        return self.compose("ps", "--quiet", service).split()

    def exec(self, service: str, *command: str, stdin: bytes = b"") -> str:
        """The output of a command in a service's container."""
        return self.compose("exec", "-T", service, *command, stdin=stdin)

    def secret(self, name: str) -> str:
        return str(dotenv_values(self.env_local)[name])

    def api(self, user: str = "admin") -> AirflowApi:
        """The REST API, logged in as `user`."""
        if user not in self.apis:
            self.apis[user] = AirflowApi(self.web, user, self.secret(f"{user.upper()}_PASSWORD"))
        return self.apis[user]

    def rest(self, method: str, path: str, **arguments: Any) -> Any:
        """What the admin's REST API answers."""
        return self.api().call(method, path, **arguments)

    def log(self, dag_id: str, run_id: str, task_id: str, attempt: int = 1) -> str:
        """The log of a task's try, as the web UI gets it."""
        return json.dumps(self.rest("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{attempt}"))

    def wait_for_end(self, dag_id: str, run_id: str, seconds: float = 300) -> str:
        """The state of a run once it has ended."""

        def state() -> str | None:
            try:
                found = self.api().run_state(dag_id, run_id)
            except HeadraceError:  # a part of the stack may be down: that is what some tests are about
                return None
            return found if found in ENDED else None

        return wait_until(state, f"the end of {run_id}", seconds)

    def report(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """A run's report, as it lies in the storage root."""
        return json.loads(
            self.exec("api-server", "cat", f"/srv/headrace/runs/{dag_id}/{file_name(run_id)}/report.json")
        )

    def read(self, path: str) -> str:
        """A file of the storage root."""
        return self.exec("api-server", "cat", f"/srv/headrace/{path}")

    def write(self, path: str, text: str) -> None:
        """Put a file into the storage root."""
        self.exec("api-server", "sh", "-c", f"cat > /srv/headrace/{path}", stdin=text.encode())

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Every task instance of a run, in full."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances?limit=1000"
        return list(self.rest("GET", path)["task_instances"])


def settings(root: Path) -> dict[str, str]:
    """The environment of the make targets; ports are chosen once."""
    chosen = root / "settings.json"
    if not chosen.exists():
        web, demo = free_port(), free_port()
        chosen.write_text(json.dumps({"WEB_PORT": str(web), "DEMO_PORT": str(demo)}))
    return {
        **json.loads(chosen.read_text()),
        "COMPOSE_PROJECT_NAME": NAME,
        "COMPOSE_FILE": "docker-compose.yaml:tests/stack/compose.yaml",
        "ENV_LOCAL": str(root / "env.local"),
        "HEADRACE_IMAGE": f"{NAME}:test",
        "WORKER_AUTOSCALE": "2,1",  # so that one worker is too few for the pool
        "TASK_HEARTBEAT_TIMEOUT": "30",  # so that the death of a worker is seen sooner
        "API_URL": "",
        "AIRFLOW_CONN_HEADRACE_PROBE": "http://me:pr0be-pass@probe.example.com",
    }


def first_run(found: Stack, dag_id: str) -> dict[str, Any]:
    """The run that the schedule starts by itself, once it has ended."""

    def ended() -> dict[str, Any] | None:
        runs = found.rest("GET", f"/dags/{dag_id}/dagRuns")["dag_runs"]
        return next((run for run in runs if run["state"] in ENDED), None)

    return wait_until(ended, f"the first run of {dag_id}")


def clear(empty: Path) -> None:
    """Remove the containers, volumes and networks of an earlier run of these tests that was killed.

    By their labels: its secrets, without which the compose file is refused, may be gone.
    """
    down = ["docker", "compose", "--project-name", NAME, "down", "--volumes", "--remove-orphans"]
    print(run(down, folder=empty).output)  # where it fails, `stack-up` says why


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    kept = os.environ.get("STACK_KEEP")
    root = Path(kept) if kept else tmp_path_factory.mktemp("stack")
    root.mkdir(parents=True, exist_ok=True)
    environment = settings(root)
    web = f"http://127.0.0.1:{environment['WEB_PORT']}"
    found = Stack(root / "env.local", web, environment, Demo(f"http://127.0.0.1:{environment['DEMO_PORT']}"))
    try:
        if not (kept and (root / "first_runs.json").exists()):
            clear(tmp_path_factory.mktemp("empty"))
            made = found.make("stack-up")
            assert made.status == 0, made.output
            (root / "first_up.txt").write_text(made.output)
            (root / "first_runs.json").write_text(json.dumps([first_run(found, dag_id) for dag_id in SCHEDULED]))
        found.first_up = (root / "first_up.txt").read_text()
        found.first_runs = json.loads((root / "first_runs.json").read_text())
        found.environment["JOB_SCHEDULE"] = "False"  # an hourly run would share the counts of the tests
        found.compose("up", "--detach", "--wait", "scheduler")
        yield found
    finally:
        if not kept:
            print(run(["deploy/stack.sh", "down", "--volumes"], **environment).output)

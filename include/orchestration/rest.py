"""The part of Airflow's REST API that starting and following a run needs."""

import contextlib
import time
from collections.abc import Container
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from include.common.errors import BadInputError, HeadraceError, TransientError

PAGE = 1000
# States of a task that has not come to its end; None before it was scheduled.
UNENDED = (None, "scheduled", "queued", "running", "up_for_retry")
DATABASE_TRIES = 5


@dataclass(frozen=True)
class TaskState:
    """A task instance; `map_index` is -1 for one that is not mapped, `state` None before it was scheduled."""

    name: str
    map_index: int
    state: str | None


class AirflowApi:
    """A client of the REST API at `web`, logged in as `user` at the first call; `timeout` is a request's, in s."""

    def __init__(self, web: str, user: str, password: str, timeout: float = 30) -> None:
        self.web, self._user, self._password = web, user, password
        # trust_env False: this goes to this machine, never to a proxy.
        self._http = httpx.Client(base_url=web, timeout=timeout, trust_env=False)

    def is_healthy(self, processes: tuple[str, ...]) -> bool:
        """Whether the server answers and reports each of `processes` ("scheduler", …) as healthy."""
        try:
            health = self._http.get("/api/v2/monitor/health", timeout=5).raise_for_status().json()
        except httpx.HTTPError:
            return False
        return all((health.get(name) or {}).get("status") == "healthy" for name in ("metadatabase", *processes))

    def prepare_for_tasks(self) -> None:
        """Let the server build the API of the tasks, which it does at its first request there: 3 to 5 s of a core."""
        with contextlib.suppress(httpx.HTTPError):  # without it, the first task waits
            self._http.get("/execution/health", timeout=60)

    def find_dag(self, dag_id: str) -> dict[str, Any] | None:
        """A DAG's details, None where it is not known (yet)."""
        response = self.request("GET", f"/dags/{dag_id}/details")
        return None if response.status_code == 404 else self._value(response)

    def import_errors(self, since: float) -> list[str]:
        """The last line of each DAG file's import error seen after `since` (epoch), behind the file's name."""
        found = self.call("GET", "/importErrors")["import_errors"]
        return [
            f"{error['filename']}: {error['stack_trace'].strip().splitlines()[-1]}"
            for error in found
            if datetime.fromisoformat(error["timestamp"]).timestamp() > since
        ]

    def pause(self, dag_id: str, paused: bool) -> None:
        """Hold a DAG's runs, or let them start."""
        self.call("PATCH", f"/dags/{dag_id}", json={"is_paused": paused})

    def trigger(
        self,
        dag_id: str,
        conf: dict[str, Any],
        run_id: str | None = None,
        logical_date: str | None = None,
        run_after: datetime | None = None,
    ) -> str:
        """Start a run, by default with an id of Airflow's and due now; returns the id. `BadInputError` for bad `conf`.

        Where another run has the `logical_date`, it starts without one.
        """
        # SQLite tells the scheduler the time in whole seconds: a run that is due now would wait for the next one.
        due = run_after or datetime.now(UTC) - timedelta(seconds=1)
        body = {"logical_date": logical_date, "run_after": due.isoformat(), "conf": conf, "dag_run_id": run_id}
        response = self.request("POST", f"/dags/{dag_id}/dagRuns", json=body)
        if response.status_code == 409 and logical_date:
            response = self.request("POST", f"/dags/{dag_id}/dagRuns", json=body | {"logical_date": None})
        if response.status_code == 400:
            raise BadInputError(str(response.json().get("detail", response.text)))
        return str(self._value(response)["dag_run_id"])

    def find_run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """A run's details."""
        return dict(self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}"))

    def run_state(self, dag_id: str, run_id: str) -> str:
        """`queued`, `running`, `success` or `failed`."""
        return str(self.find_run(dag_id, run_id)["state"])

    def unfinished_runs(self, dag_id: str = "~") -> list[dict[str, Any]]:
        """The details of every run, or of a DAG's, that has not ended."""
        found = self.call("GET", f"/dags/{dag_id}/dagRuns?state=running&state=queued&limit={PAGE}")
        return list(found["dag_runs"])

    def fail_run(self, dag_id: str, run_id: str) -> None:
        """Mark a run as failed: its tasks end, and what reports of it runs."""
        self.call("PATCH", f"/dags/{dag_id}/dagRuns/{run_id}", json={"state": "failed"})

    def end_run(self, dag_id: str, run_id: str, states: Container[str | None] = UNENDED) -> None:
        """Mark a run as failed, and in it what would still report of it, where that is in one of `states`."""
        self.fail_run(dag_id, run_id)
        for task in self.task_states(dag_id, run_id):
            if task.state in states:
                path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task.name}"
                self.call("PATCH", path, json={"new_state": "failed"})
        self.fail_run(dag_id, run_id)

    def drop_run(self, dag_id: str, run_id: str) -> None:
        """Delete a run that is not wanted, whether it has begun or not; nothing reports of it."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}"
        if self.request("DELETE", path).status_code == 409:  # it has begun
            self.end_run(dag_id, run_id)
            self.request("DELETE", path)

    def task_states(self, dag_id: str, run_id: str) -> list[TaskState]:
        """Every task instance of a run."""
        found = self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances?limit={PAGE}")
        return [TaskState(task["task_id"], task["map_index"], task["state"]) for task in found["task_instances"]]

    def kept_state(self, dag_id: str, run_id: str, task_id: str, map_index: int, key: str) -> Any:
        """What a task keeps under `key` of its state; None where it keeps nothing."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/state-store/{key}?map_index={map_index}"
        response = self.request("GET", path)
        return None if response.status_code == 404 else self._value(response)["value"]

    def bearer(self) -> str:
        """The header `Authorization` of whoever is logged in here, for requests beside the REST API."""
        if "Authorization" not in self._http.headers:
            self._log_in()
        return self._http.headers["Authorization"]

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        """The value that `request` is answered with; `HeadraceError` where that is an error."""
        return self._value(self.request(method, path, **arguments))

    def request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """The answer to a request to `path` below /api/v2, whatever its status; `TransientError` without one."""
        try:
            self.bearer()
            response = self._http.request(method, f"/api/v2{path}", **arguments)
            for _ in range(DATABASE_TRIES):
                if response.status_code != 500 or "atabase" not in response.text:
                    break
                time.sleep(1)  # SQLite was busy for longer than Airflow waits: nothing was written
                response = self._http.request(method, f"/api/v2{path}", **arguments)
            if response.status_code == 401:  # the token is valid for a day
                self._log_in()
                response = self._http.request(method, f"/api/v2{path}", **arguments)
            return response
        except httpx.HTTPError as error:
            raise TransientError(f"the api-server does not answer ({error})") from error

    def _log_in(self) -> None:
        response = self._http.post("/auth/token", json={"username": self._user, "password": self._password})
        if response.is_server_error:
            self._value(response)
        if response.status_code != 201:
            raise HeadraceError(f"Airflow refuses the login of `{self._user}`: {response.status_code}")
        self._http.headers["Authorization"] = f"Bearer {response.json()['access_token']}"

    @staticmethod
    def _value(response: httpx.Response) -> Any:
        if response.is_server_error:  # its database is away, or it is about to start or to end
            raise TransientError(f"the api-server answers with {response.status_code}: {response.text[:300]}")
        if response.is_error:
            raise HeadraceError(
                f"Airflow's REST API answered {response.request.method} {response.request.url.path} "
                f"with {response.status_code}: {response.text[:300]}"
            )
        return response.json()

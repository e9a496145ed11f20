"""Airflow's REST API as the embedded commands call it, against a server that is a function."""

import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from include.common.errors import HeadraceError, TransientError
from include.orchestration.rest import AirflowApi


def api_of(answer):
    api = AirflowApi("http://airflow", "admin", "secret")
    api._http = httpx.Client(base_url="http://airflow", transport=httpx.MockTransport(answer))
    api._http.headers["Authorization"] = "Bearer token"
    return api


def test_a_triggered_run_is_due_a_second_ago():
    asked = []

    def answer(request):
        asked.append(json.loads(request.content))
        return httpx.Response(200, json={"dag_run_id": "r"})

    assert api_of(answer).trigger("csv_processing", {"limit": 1}) == "r"
    assert (asked[0]["logical_date"], asked[0]["conf"]) == (None, {"limit": 1})
    age = datetime.now(UTC) - datetime.fromisoformat(asked[0]["run_after"])
    assert timedelta(seconds=1) <= age < timedelta(seconds=60)


def test_the_api_of_the_tasks_is_asked_once_before_the_first_of_them():
    asked = []

    def answer(request):
        asked.append(request.url.path)
        return httpx.Response(200, json={"status": "healthy"})

    api_of(answer).prepare_for_tasks()
    assert asked == ["/execution/health"]


def test_a_start_survives_that_the_api_of_the_tasks_does_not_answer():
    def answer(request):
        raise httpx.ReadTimeout("too slow", request=request)

    api_of(answer).prepare_for_tasks()


class Runs:
    """Answers as Airflow does to what ends a run: one that has begun is not deleted, and not ended before its tasks."""

    def __init__(self, state, tasks):
        self.state, self.tasks, self.deleted, self.asked = state, tasks, False, []

    def __call__(self, request):
        self.asked.append(f"{request.method} {request.url.path.rpartition('/')[2]}")
        if request.method == "DELETE":
            if self.state == "running":
                return httpx.Response(409, json={"detail": "it runs"})
            self.deleted = True
            return httpx.Response(204)
        if request.method == "PATCH" and "/taskInstances/" in request.url.path:
            self.tasks[request.url.path.rpartition("/")[2]] = json.loads(request.content)["new_state"]
        elif request.method == "PATCH":
            self.tasks = {name: "skipped" if name != "notify" else state for name, state in self.tasks.items()}
            self.state = "failed" if self.tasks["notify"] == "failed" else "running"
        tasks = [{"task_id": name, "map_index": -1, "state": state} for name, state in self.tasks.items()]
        return httpx.Response(200, json={"task_instances": tasks})


def test_a_run_that_waits_is_deleted_at_once():
    runs = Runs("queued", {"plan": None, "notify": None})
    api_of(runs).drop_run("csv_processing", "scheduled__1")
    assert (runs.deleted, runs.asked) == (True, ["DELETE scheduled__1"])


def test_a_run_that_has_begun_is_ended_without_a_report_and_deleted():
    runs = Runs("running", {"plan": "running", "call_api": None, "notify": None})
    api_of(runs).drop_run("csv_processing", "scheduled__1")
    assert runs.deleted
    assert runs.asked.count("PATCH notify") == 1


def test_a_run_that_was_cut_off_still_reports_unless_its_report_was_cut_off_too():
    for state, patched in ((None, 0), ("running", 1)):
        runs = Runs("running", {"plan": "success", "notify": state})
        api_of(runs).end_run("csv_processing", "manual__1", ("queued", "running"))
        assert runs.asked.count("PATCH notify") == patched


def test_a_server_error_may_pass_and_a_refusal_stays():
    for status, kind in ((503, TransientError), (404, HeadraceError)):
        with pytest.raises(HeadraceError, match=str(status)) as caught:
            api_of(lambda _, status=status: httpx.Response(status, text="no")).find_run("csv_processing", "r")
        assert type(caught.value) is kind


def test_a_logical_date_that_is_taken_is_done_without():
    asked = []

    def answer(request):
        asked.append(json.loads(request.content)["logical_date"])
        return httpx.Response(409 if asked[-1] else 200, json={"dag_run_id": "r"})

    assert api_of(answer).trigger("csv_processing", {}, logical_date="2026-11-22T00:00:00Z") == "r"
    assert asked == ["2026-11-22T00:00:00Z", None]

"""Airflow's REST API as the embedded commands call it, against a server that is a function."""

import json
from datetime import UTC, datetime, timedelta

import httpx

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

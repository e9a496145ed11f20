"""The profile `monitoring`: Prometheus reads Airflow's metrics and ours, and the panels of ours have data."""

import json
from urllib.parse import quote

import pytest

from tests.monitoring import DASHBOARD, measured
from tests.stack.conftest import wait_until

PROFILE = ("--profile", "monitoring")
# What a panel's variables stand for: every DAG, and a range with a few scrapes in it.
VARIABLES = {"$dag": ".*", "$__rate_interval": "5m", "$__range": "1h"}
OURS = [panel for panel in DASHBOARD["panels"] if "headrace_" in panel["targets"][0]["expr"]]


@pytest.fixture(scope="module")
def prometheus(stack):
    """Asks Prometheus; what it answers as `data`."""

    def ask(path):
        answer = stack.exec("prometheus", "wget", "-q", "-O", "-", f"http://127.0.0.1:9090/api/v1/{path}")
        return json.loads(answer)["data"]

    try:
        stack.compose(*PROFILE, "up", "--detach", "--wait", "--no-deps", "statsd-exporter", "prometheus")
        yield ask
    finally:
        stack.compose(*PROFILE, "rm", "--stop", "--force", "statsd-exporter", "prometheus")


@pytest.fixture(scope="module")
def targets(prometheus):
    """How the scrapes of each job go, once all have been tried."""

    def states():
        found = {one["labels"]["job"]: one["health"] for one in prometheus("targets")["activeTargets"]}
        return found if found and "unknown" not in found.values() else None

    return wait_until(states, "a scrape of every target")


@pytest.fixture(scope="module")
def _ended(stack, targets):
    """A run ends while Prometheus looks on."""
    stack.demo.behave()
    made = stack.make("trigger", LIMIT="3", OUTPUT="counted.json", WAIT="1")
    assert made.status == 0, made.output


def test_every_target_is_up(targets):
    assert targets == {"airflow": "up", "headrace": "up"}


@pytest.mark.usefixtures("_ended")
@pytest.mark.parametrize("panel", OURS, ids=lambda panel: panel["title"])
def test_each_panel_of_our_metrics_has_data_once_a_run_has_ended(prometheus, panel):
    query = panel["targets"][0]["expr"]
    for name, value in VARIABLES.items():
        query = query.replace(name, value)

    def dags():
        found = prometheus(f"query?query={quote(query, safe='')}")["result"]
        return {one["metric"]["dag_id"] for one in found if one["value"][1] != "NaN"}

    wait_until(lambda: "csv_processing" in dags(), f"data of {panel['title']}")


@pytest.mark.usefixtures("_ended")
def test_the_run_that_ended_is_counted(prometheus):
    query = 'increase(headrace_csv_calls_total{dag_id="csv_processing"}[10m])'
    wait_until(lambda: float(prometheus(f"query?query={quote(query)}")["result"][0]["value"][1]) > 0, "three calls")


def test_there_is_a_panel_for_each_of_our_metrics():
    shown = " ".join(panel["targets"][0]["expr"] for panel in OURS)
    assert [name for name in measured() if name not in shown] == []

"""What a running Airflow sends, against the dashboard of the profile `monitoring`, and what it answers Prometheus."""

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from tests.e2e.conftest import TOKEN
from tests.monitoring import exported, measured, problems, questions, received

# Told every 30 s and only of tasks that run or wait at that moment.
BY_CHANCE = {"airflow_ti_queued", "airflow_ti_running"}


def test_a_running_airflow_sends_all_that_the_dashboard_shows(headrace):
    made = headrace.run(LIMIT="2")
    assert made.status == 0, made.output

    def missing():
        asked = problems(questions(), exported(received(line) for line in list(headrace.metrics.lines)) | measured())
        return [name for name in asked if name.split()[0] not in BY_CHANCE]

    headrace.metrics.wait_until(lambda: not missing(), 60)
    assert missing() == []


def scraped(headrace):
    """What `/headrace/metrics` says of `csv_processing`, by name and the other label."""
    answer = httpx.get(
        f"{headrace.web}/headrace/metrics", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60, trust_env=False
    )
    assert answer.status_code == 200, answer.text
    samples = [one for family in parse(answer.text) for one in family.samples]
    return {
        (one.name, *[value for label, value in one.labels.items() if label != "dag_id"]): one.value
        for one in samples
        if one.labels.get("dag_id") == "csv_processing"
    }


def test_prometheus_reads_what_a_run_came_to(headrace):
    before = scraped(headrace)
    made = headrace.run(LIMIT="2")
    assert made.status == 0, made.output
    after = scraped(headrace)
    grown = {name: value - before[name] for name, value in after.items() if "_last_" not in name[0]}
    assert grown[("headrace_csv_rows_total", "ok")] == grown[("headrace_csv_calls_total",)] == 2
    assert grown[("headrace_csv_runs_total", "success")] == 1
    took = after[("headrace_csv_last_run_duration_seconds", "success")]
    assert took > 0
    assert grown[("headrace_csv_run_duration_seconds_sum", "success")] == pytest.approx(took)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Bearer {TOKEN}x"}])
def test_nobody_else_reads_it(headrace, headers):
    answer = httpx.get(f"{headrace.web}/headrace/metrics", headers=headers, timeout=60, trust_env=False)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_the_token_of_the_metrics_opens_nothing_else(headrace):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    for path in ("/headrace/", "/headrace/openapi.json", "/headrace/metrics/", "/api/v2/dags"):
        assert httpx.get(headrace.web + path, headers=headers, timeout=60, trust_env=False).status_code in (401, 403)

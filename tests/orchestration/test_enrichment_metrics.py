"""What Prometheus is told of the CSV pipelines, as its own parser reads it."""

from dataclasses import replace

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from dags.csv_processing import PIPELINE
from include.enrichment.history import Totals
from include.orchestration.enrichment.metrics import measure, metrics
from include.orchestration.enrichment.report import RunReportOperator

DAG = "csv_processing"
SUCCESS = Totals(DAG, "success", 2, 80.5, 180, 10, 4, 220, 24, 61.5, 20.25, 1764158400.0)
FAILED = Totals(DAG, "failed", 1, 5.0, 0, 6, 0, 18, 12, 0.5, 5.0, 1764160000.0)


class Told:
    def __init__(self, families):
        self.families = list(families)

    def collect(self):
        return self.families


def registry(families):
    made = CollectorRegistry()
    made.register(Told(families))
    return made


def told(families):
    """Every sample by its name and its labels, as Prometheus reads them."""
    text = generate_latest(registry(families)).decode()
    return {(one.name, *one.labels.values()): one.value for family in parse(text) for one in family.samples}


def test_the_totals_are_told_by_dag_status_and_state():
    assert told(metrics([DAG], [SUCCESS, FAILED])) == {
        ("headrace_csv_rows_total", DAG, "ok"): 180,
        ("headrace_csv_rows_total", DAG, "failed"): 16,
        ("headrace_csv_rows_total", DAG, "skipped"): 4,
        ("headrace_csv_calls_total", DAG): 238,
        ("headrace_csv_retries_total", DAG): 36,
        ("headrace_csv_limit_wait_seconds_total", DAG): 62,
        ("headrace_csv_runs_total", DAG, "success"): 2,
        ("headrace_csv_runs_total", DAG, "failed"): 1,
        ("headrace_csv_runs_total", DAG, "dry run"): 0,
        ("headrace_csv_run_duration_seconds_count", DAG, "success"): 2,
        ("headrace_csv_run_duration_seconds_sum", DAG, "success"): 80.5,
        ("headrace_csv_run_duration_seconds_count", DAG, "failed"): 1,
        ("headrace_csv_run_duration_seconds_sum", DAG, "failed"): 5,
        ("headrace_csv_run_duration_seconds_count", DAG, "dry run"): 0,
        ("headrace_csv_run_duration_seconds_sum", DAG, "dry run"): 0,
        ("headrace_csv_last_run_duration_seconds", DAG, "success"): 20.25,
        ("headrace_csv_last_run_duration_seconds", DAG, "failed"): 5,
        ("headrace_csv_last_run_end_timestamp_seconds", DAG, "success"): 1764158400,
        ("headrace_csv_last_run_end_timestamp_seconds", DAG, "failed"): 1764160000,
    }


def test_a_counter_is_there_before_its_first_event_and_a_last_run_is_not():
    found = told(metrics([DAG, "symbol_processing"], []))
    assert set(found.values()) == {0}
    assert {name for name, *_ in found if "_last_" in name} == set()
    assert {labels[0] for _, *labels in found} == {DAG, "symbol_processing"}


def test_openmetrics_takes_the_same_families():
    text = openmetrics.generate_latest(registry(metrics([DAG], [SUCCESS, FAILED]))).decode()
    assert {family.name: family.type for family in parse_openmetrics(text)} == {
        "headrace_csv_rows": "counter",
        "headrace_csv_calls": "counter",
        "headrace_csv_retries": "counter",
        "headrace_csv_limit_wait_seconds": "counter",
        "headrace_csv_runs": "counter",
        "headrace_csv_run_duration_seconds": "summary",
        "headrace_csv_last_run_duration_seconds": "gauge",
        "headrace_csv_last_run_end_timestamp_seconds": "gauge",
    }


def test_no_counter_falls_while_runs_end_are_told_again_pruned_and_planned_again(airflow, demo, tmp_path):
    demo.behave({"fault": "status", "status": 404, "keys": ["004"]})
    before = {}

    def counters():
        now = {key: value for key, value in told(measure([DAG])).items() if "_last_" not in key[0]}
        assert [key for key, value in now.items() if value < before.get(key, 0)] == []
        before.update(now)
        return now

    runs = {}
    for run_id, keep_runs in [("first", 1), ("second", 1), ("first", 2), ("second", 2)]:
        pipeline = replace(PIPELINE, keep_runs=keep_runs)
        runs[run_id] = airflow.run(pipeline, run_id, output=str(tmp_path / f"{run_id}.json"), limit=10)
        counters()
    found = counters()
    assert found[("headrace_csv_runs_total", DAG, "success")] == 4
    assert found[("headrace_csv_calls_total", DAG)] == demo.stats.calls == 40
    assert [found[("headrace_csv_rows_total", DAG, status)] for status in ("ok", "failed")] == [36, 4]

    with pytest.raises(AirflowSkipException):
        RunReportOperator(task_id="notify", pipeline=PIPELINE).execute(airflow.context(PIPELINE, runs["first"]))
    again = counters()
    assert again[("headrace_csv_runs_total", DAG, "success")] == 5
    assert again[("headrace_csv_calls_total", DAG)] == 40
    assert again[("headrace_csv_rows_total", DAG, "ok")] == 36

"""The files of the profile `monitoring`, tied to the metrics that this Airflow has. Airflow's own lines: tests/e2e."""

import re
import subprocess
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

import pytest
import yaml
from airflow._shared.observability.metrics.metrics_registry import YAML_REGISTRY_PATH, read_metrics_yaml
from airflow.dag_processing import manager

from include.parser_tasks.models import Status
from include.web.metrics import PATH
from include.web.pages import ROOT
from tests.monitoring import (
    ALERTS,
    COMPOSE,
    DASHBOARD,
    FILES,
    PROJECT,
    RULES,
    Metric,
    asked,
    exported,
    match,
    measured,
    problems,
    questions,
)

KINDS = {"counter": "counter", "gauge": "gauge", "timer": "observer"}


def sample(name):
    """A metric's name with the variables that it has filled in."""
    return "airflow." + name.replace("{", "").replace("}", "")


REGISTRY = [
    Metric(sample(entry["name"]), KINDS[entry["type"]], frozenset(entry["name_variables"]))
    for entry in read_metrics_yaml(str(YAML_REGISTRY_PATH))
]
LEGACY = [
    Metric(sample(entry["legacy_name"]), KINDS[entry["type"]], frozenset())
    for entry in read_metrics_yaml(str(YAML_REGISTRY_PATH))
]
ASKED = list(questions())
OF_PROFILES = {name: service for name, service in COMPOSE["services"].items() if "profiles" in service}


def test_the_dashboard_asks_for_series_and_labels_that_airflow_and_the_exporter_make_or_we_do():
    assert problems(ASKED, exported(REGISTRY) | measured()) == []


def test_the_dashboard_shows_each_of_our_own_metrics():
    shown = set().union(*(asked(expression)[0] for expression in ASKED))
    assert measured().keys() - shown == set()


def test_the_alerts_are_on_series_and_labels_that_airflow_and_the_exporter_make_or_we_do():
    assert [alert["alert"] for alert in ALERTS] == [
        "RunFailed",
        "TaskQueueGrows",
        "NoSchedulerHeartbeat",
        "ParserBacklogGrows",
        "NoParserStatus",
    ]
    shown = [f"sum by ({', '.join(labels)}) ({alert['expr']})" for alert in ALERTS if (labels := labels_told(alert))]
    assert shown == [f"sum by (dag_id) ({ALERTS[0]['expr']})", f"sum by (parser) ({ALERTS[3]['expr']})"]
    # What is joined has labels of its own.
    asked_for = [part for alert in ALERTS for part in alert["expr"].split(" and ")]
    assert problems(asked_for + shown, exported(REGISTRY) | measured()) == []


def test_the_parsers_alerts_tell_of_fifteen_minutes_and_of_a_status_that_tasks_wait_in():
    grows, silent = ALERTS[3:]
    assert (grows["for"], re.findall(r"offset (\w+)", grows["expr"])) == ("15m", ["15m"])
    assert (silent["for"], re.findall(r"\[(\w+)\]", silent["expr"])) == ("10m", ["5m", "5m"])
    assert re.findall(r'status="(\w+)"', silent["expr"]) == [Status.QUEUED]


def labels_told(alert):
    """The labels that the sentence of an alert names, each of which its expression keeps."""
    told = re.findall(r"\$labels\.(\w+)", alert["annotations"]["summary"])
    assert set(told) <= set(re.findall(r"^\w+ by \((\w+)\)", alert["expr"]))
    return told


def test_an_alert_looks_further_back_than_a_few_scrapes_and_asks_for_a_state_that_runs_end_in():
    prometheus = yaml.safe_load((FILES / "prometheus.yml").read_text("utf-8"))
    assert prometheus["global"]["scrape_interval"] == prometheus["global"]["evaluation_interval"] == "15s"
    minutes = [int(found) for alert in ALERTS for found in re.findall(r"\[(\d+)m\]", alert["expr"])]
    assert minutes == [15, 2, 5, 5]  # a rate needs two samples; four scrapes are a minute
    (state,) = re.findall(r'state="(\w+)"', ALERTS[0]["expr"])
    (rule,) = [rule for rule in RULES if "state" in rule.get("labels", {})]
    assert state in {found[1] for metric in REGISTRY if (found := match(rule, metric))}


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("sum(rate(airflow_ti_finished_total[5m]))", "airflow_ti_finished_total"),
        ("sum(rate(airflow_ti_finish[5m]))", "airflow_ti_finish"),
        ("ti_finish_total or vector(0)", "ti_finish_total"),
        ("sum(airflow_ti_waiting) > sum(airflow_ti_queued offset 10m)", "airflow_ti_waiting"),
        ('airflow_pool_open_slots{pool="csv_api"}', "airflow_pool_open_slots by pool"),
        ("sum by (dag_id, pool_name) (airflow_pool_open_slots)", "airflow_pool_open_slots by dag_id"),
        ("sum by (le) (airflow_task_duration_seconds_count)", "airflow_task_duration_seconds_count by le"),
        ("sum(increase(headrace_csv_rows[5m]))", "headrace_csv_rows"),
        ("sum by (state) (headrace_csv_rows_total)", "headrace_csv_rows_total by state"),
        ("airflow_dagbag_size - airflow_dag_processing_processes_total", "airflow_dag_processing_processes_total"),
    ],
)
def test_a_series_or_label_that_is_not_there_is_found(expression, problem):
    assert problems([expression], exported(REGISTRY) | measured()) == [problem]


def test_the_dashboard_shows_what_it_is_for():
    series = set().union(*(asked(expression)[0] for expression in ASKED))
    shown = {metric.name for metric in REGISTRY if series & exported([metric]).keys()}
    assert {name.removeprefix("airflow.") for name in shown} == {
        "dag_processing.import_errors",
        "dag_processing.last_duration",
        "dag_processing.total_parse_time",
        "dag_processor_heartbeat",
        "dagbag_size",
        "dagrun.duration.failed",
        "dagrun.duration.success",
        "executor.open_slots",
        "executor.queued_tasks",
        "executor.running_tasks",
        "pool.open_slots",
        "pool.queued_slots",
        "pool.running_slots",
        "scheduler.dagruns.running",
        "scheduler_heartbeat",
        "ti.finish",
        "ti.queued",
        "ti.running",
        "ti.start",
        "triggerer_heartbeat",
    }


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["match"])
def test_every_rule_is_for_a_metric_that_airflow_has(rule):
    assert any(match(rule, metric) for metric in REGISTRY + LEGACY)


def test_no_name_of_a_dag_or_task_gets_into_a_series():
    assert not [name for name in exported(REGISTRY) if "dag_id" in name or "task_id" in name]
    per_dag = Metric("airflow.dagrun.my.dag.first_task_scheduling_delay", "observer", frozenset())
    assert exported([per_dag]) == {}


def test_how_a_run_ended_is_a_label():
    (rule,) = [rule for rule in RULES if "state" in rule.get("labels", {})]
    assert {match(rule, metric)[1] for metric in REGISTRY if match(rule, metric)} == {"success", "failed"}


def test_the_time_of_a_dag_file_comes_out_in_seconds(monkeypatch):
    sent = {}
    monkeypatch.setattr(manager.stats, "timing", lambda name, value, **_: sent.update({name: value}))
    manager.process_parse_results(
        run_duration=2.5,
        finish_time=datetime.now(UTC),
        run_count=0,
        bundle_name="headrace",
        parsing_result=None,
        relative_fileloc="dags/csv_processing.py",
    )
    (name, milliseconds), (rule,) = *sent.items(), [rule for rule in RULES if "scale" in rule]
    assert rule["match"] == f"airflow.{name}"
    assert milliseconds / 1000 * rule["scale"] == 2.5


def test_every_gauge_ends_with_its_sender():
    assert all("ttl" in rule for rule in RULES if rule.get("match_metric_type") == "gauge")


def test_the_programs_find_each_other():
    prometheus = yaml.safe_load((FILES / "prometheus.yml").read_text("utf-8"))
    hosts = [
        target.split(":")[0]
        for job in prometheus["scrape_configs"]
        for group in job["static_configs"]
        for target in group["targets"]
    ]
    assert hosts == ["statsd-exporter", "api-server"]
    assert {"statsd-exporter", "prometheus", "grafana"} <= OF_PROFILES.keys()
    (source,) = yaml.safe_load((FILES / "grafana/datasources/prometheus.yaml").read_text("utf-8"))["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert source["jsonData"]["timeInterval"] == prometheus["global"]["scrape_interval"]
    asking = [*DASHBOARD["panels"], *DASHBOARD["templating"]["list"]]
    assert {(one["datasource"]["type"], one["datasource"]["uid"]) for one in asking} == {("prometheus", source["uid"])}


def test_prometheus_opens_our_metrics_with_the_token_that_its_container_writes():
    prometheus = yaml.safe_load((FILES / "prometheus.yml").read_text("utf-8"))
    (job,) = [one for one in prometheus["scrape_configs"] if one["job_name"] == "headrace"]
    assert job["metrics_path"] == ROOT + PATH
    file = job["authorization"]["credentials_file"]
    service, server = COMPOSE["services"]["prometheus"], COMPOSE["services"]["api-server"]
    assert f">{file} " in service["entrypoint"][2]
    assert Path(file).parent in map(Path, service["tmpfs"])
    token = service["environment"]["HEADRACE_METRICS_TOKEN"]
    assert token == server["environment"]["HEADRACE_METRICS_TOKEN"] == "${HEADRACE_METRICS_TOKEN:-}"


def test_the_container_of_prometheus_writes_the_token_for_itself_only_and_hands_its_flags_on(tmp_path):
    shell, flag, script, name = COMPOSE["services"]["prometheus"]["entrypoint"]
    program, file = tmp_path / "prometheus", tmp_path / "metrics-token"
    program.write_text('#!/bin/sh\nfor flag; do echo "$flag"; done\n')
    program.chmod(0o755)
    # As Compose reads it, with the paths of this test.
    script = script.replace("$$", "$").replace("/tmp/metrics-token", str(file)).replace("/bin/prometheus", str(program))
    environment = {"PATH": "/usr/bin:/bin", "HEADRACE_METRICS_TOKEN": "kqz81 %s \\n"}
    command = [shell, flag, script, name, "--one", "--two=a b"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines() == ["--one", "--two=a b"]
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("kqz81 %s \\n", 0o600)


def test_the_panels_lie_side_by_side():
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [panel["gridPos"] for panel in panels]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]


def test_the_files_that_are_mounted_are_there_and_found():
    mounted = {}
    for name, service in OF_PROFILES.items():
        for volume in service.get("volumes", []):
            if volume.startswith("./"):
                source, target = volume.removesuffix(":ro").split(":")
                assert (PROJECT / source).exists(), volume  # docker would make an empty folder
                mounted[name, target] = PROJECT / source
    prometheus = yaml.safe_load((FILES / "prometheus.yml").read_text("utf-8"))
    beside = COMPOSE["services"]["prometheus"]["command"][0].partition("=")[2].rpartition("/")[0]
    assert [("prometheus", f"{beside}/{name}") in mounted for name in prometheus["rule_files"]] == [True]
    assert ("statsd-exporter", COMPOSE["services"]["statsd-exporter"]["command"][0].partition("=")[2]) in mounted
    (provider,) = yaml.safe_load((FILES / "grafana/dashboards/provider.yaml").read_text("utf-8"))["providers"]
    folder = provider["options"]["path"]
    home = COMPOSE["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (mounted["grafana", folder] / home.removeprefix(f"{folder}/")).is_file()


def test_only_grafana_is_published_and_to_this_machine():
    doors = {name: service["ports"] for name, service in OF_PROFILES.items() if "ports" in service}
    assert doors.keys() & {"kafka", "statsd-exporter", "prometheus", "grafana"} == {"grafana"}
    assert doors["grafana"] == ["${WEB_HOST:-127.0.0.1}:${GRAFANA_PORT:-3000}:3000"]


@pytest.mark.parametrize(("profiles", "sends"), [("demo,monitoring", "True"), ("demo", ""), ("monitoring2", "")])
def test_airflow_sends_metrics_where_the_profile_is_on(tmp_path, profiles, sends):
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\nprintf %s "$STATSD_ON"\n')
    docker.chmod(0o755)
    (tmp_path / "env.local").write_text(f"COMPOSE_PROFILES={profiles}\n")
    ended = subprocess.run(
        [PROJECT / "deploy" / "stack.sh", "compose", "config"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "ENV_LOCAL": str(tmp_path / "env.local")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout == sends

"""The stack's settings: refused before anything is touched, and each of them only where it is used."""

import re
import subprocess

import pytest
import yaml

from include.launch.stack.preflight import SECRETS
from include.launch.stack.settings import CHECKS, problems
from include.orchestration.paths import PROJECT
from include.orchestration.systems import SYSTEMS

COMPOSE = yaml.safe_load((PROJECT / "docker-compose.yaml").read_text("utf-8"))
AIRFLOW = {"init", "api-server", "scheduler", "dag-processor", "triggerer", "worker", "flower"}
LASTING = AIRFLOW - {"init"}
PARSERS = {f"parser-worker-{name}" for name in ("rss", "vk", "youtube")}
# What creates parser tasks, sends them, waits for their statuses and shows them.
MANAGERS = {"api-server", "triggerer", "worker"}


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("AIRFLOW_CONN_CSV_API", "nonsense", "AIRFLOW_CONN_CSV_API is no connection; allowed is a URI such as"),
        ("HEADRACE_POOLS", "/home/me/pools.json", "the pools file `/home/me/pools.json` (HEADRACE_POOLS) cannot be"),
        ("HEADRACE_STORAGE", "/home/me/data", "HEADRACE_STORAGE is `/home/me/data`, which is no folder in the cont"),
        ("HEADRACE_TASK_MEMORY", "512", "HEADRACE_TASK_MEMORY is `512`; allowed is a size such as 512m or 1.5g"),
        ("API_URL", "api.example.com", "API_URL is no address; allowed is an http:// or https:// URL with a host"),
        ("RESULT_BACKEND", "db+postgres//x:s3cret@y", "RESULT_BACKEND is no database's URL, such as postgresql+psyc"),
        ("AIRFLOW_DATABASE_URL", "postgresql+psyco://x:s3cret@y/z", "AIRFLOW_DATABASE_URL is no database's URL"),
        ("BROKER_URL", "s3cret", "BROKER_URL is no URL, such as redis://:password@host"),
        ("COMPOSE_PROFILES", "demo,monitring", "COMPOSE_PROFILES has `monitring`; allowed are demo, flower, kafka, m"),
        ("DAG_BUNDLES", "[{]", "DAG_BUNDLES is not JSON: Expecting property name"),
        ("DAG_BUNDLES", '[{"name": "headrace"}]', 'DAG_BUNDLES is no list of bundles, such as [{"name": …'),
        ("AUTH_MANAGER", "airflow.no.such.Manager", "AUTH_MANAGER is `airflow.no.such.Manager`, which the image do"),
        ("WORKER_AUTOSCALE", "8", "WORKER_AUTOSCALE is `8`; allowed is the most and the fewest tasks at once, such"),
        ("WORKER_AUTOSCALE", "2,8", "WORKER_AUTOSCALE is `2,8`; allowed is the most and the fewest tasks at once, s"),
        ("HEADRACE_UPLOAD_MB", "1g", "HEADRACE_UPLOAD_MB is `1g`; allowed is a whole number from 1"),
        ("PARALLELISM", "0", "PARALLELISM is `0`; allowed is a whole number from 1"),
        ("STATSD_ON", "yes", "STATSD_ON is `yes`; allowed is True or False"),
        ("KAFKA_PARTITIONS", "0", "KAFKA_PARTITIONS is `0`; allowed is a whole number from 1"),
        (
            "VK_PARSER_TASKS_TOPIC",
            "task_statuses",
            "VK_PARSER_TASKS_TOPIC is `task_statuses`, the topic of the statuses",
        ),
        ("LOG_MAX_SIZE", "10", "LOG_MAX_SIZE is `10`; allowed is a size such as 10m"),
    ],
)
def test_a_setting_that_cannot_work_is_named_without_a_secret(tmp_path, name, value, problem):
    (found,) = problems({"HEADRACE_STORAGE": str(tmp_path), name: value}, {})
    assert found.startswith(problem)
    assert "s3cret" not in found


def test_the_defaults_and_settings_that_work_are_taken(tmp_path):
    empty = dict.fromkeys(CHECKS, "")
    assert problems({**empty, "HEADRACE_STORAGE": str(tmp_path)}, {}) == []
    good = {
        "HEADRACE_STORAGE": str(tmp_path),
        "COMPOSE_PROFILES": "demo,monitoring",
        "API_URL": "https://api.example.com/v1",
        "AIRFLOW_DATABASE_URL": "postgresql+psycopg2://airflow:x@db.example.com/airflow",
        "RESULT_BACKEND": "db+postgresql+psycopg2://celery:x@db.example.com/airflow",
        "BROKER_URL": "rediss://:x@redis.example.com:6379/0?ssl_cert_reqs=required",
        "DAG_BUNDLES": '[{"name": "headrace", "classpath": "a.B", "kwargs": {}}]',
        "AUTH_MANAGER": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
        "WORKER_AUTOSCALE": "8,2",
        "PARALLELISM": "64",
        "STATSD_ON": "True",
        "LOG_MAX_SIZE": "10m",
        "HEADRACE_TASK_MEMORY": "1.5g",
        "AIRFLOW_CONN_CSV_API": '{"conn_type": "http", "host": "https://api.example.com"}',
    }
    assert problems(good, {}) == []


def test_a_shared_folder_that_cannot_be_written_to_is_named_with_its_setting(tmp_path):
    good = {"HEADRACE_STORAGE": str(tmp_path)}
    folders = {str(tmp_path): "HEADRACE_VOLUME", str(tmp_path / "gone"): "LOGS_VOLUME"}
    (problem,) = problems(good, folders)
    assert re.fullmatch(r".*/gone is not writable for user \d+; the folder that LOGS_VOLUME names must be", problem)


def test_all_that_is_checked_is_given_to_the_check():
    assert CHECKS.keys() - COMPOSE["services"]["preflight"]["environment"].keys() == set()


def users(variable):
    """The services whose containers are made anew when a setting of the compose file changes."""
    return {
        name
        for name, service in COMPOSE["services"].items()
        if name != "preflight" and re.search(rf"\$\{{{variable}\b", yaml.safe_dump(service, width=10_000))
    }


@pytest.mark.parametrize(
    ("variable", "services"),
    [
        ("VIEWER_PASSWORD", {"api-server"}),
        ("ADMIN_PASSWORD", {"api-server", "flower", "grafana"}),
        ("HEADRACE_METRICS_TOKEN", {"api-server", "prometheus"}),
        ("REDIS_PASSWORD", {"redis", "scheduler", "worker", "flower"}),
        ("CELERY_DB_PASSWORD", {"postgres", "scheduler", "worker", "flower"}),
        ("HEADRACE_DB_PASSWORD", {"postgres", "init", "api-server", "triggerer", "worker"}),
        ("FERNET_KEY", {"init", "api-server", "scheduler", "dag-processor", "triggerer"}),
        ("API_URL", {"worker"}),
        ("BOT_TOKEN", {"worker"}),
        ("HEADRACE_TASK_MEMORY", {"worker"}),
        ("HEADRACE_UPLOAD_MB", {"api-server"}),
        ("HEADRACE_POOLS", {"init", "dag-processor", "worker"}),
        ("WORKER_MEMORY", {"worker"}),
        ("WORKER_AUTOSCALE", {"worker"}),
        ("PARALLELISM", {"scheduler"}),
        ("TASK_HEARTBEAT_TIMEOUT", {"scheduler"}),
        ("VISIBILITY_TIMEOUT", {"scheduler", "worker", "flower"}),
        ("EXECUTION_API_URL", {"worker"}),
        ("HEADRACE_STORAGE", {"init", *MANAGERS, *PARSERS}),
        ("PARSER_TASKS_BACKLOG_LIMIT", MANAGERS),
        ("KAFKA_BOOTSTRAP_SERVERS", MANAGERS | PARSERS),
        ("KAFKA_PARTITIONS", MANAGERS | {"kafka"}),
        ("KAFKA_WORKER_OPTIONS", PARSERS),
        ("RSS_PARSER_TASKS_TOPIC", MANAGERS | {"parser-worker-rss"}),
        ("VK_ACCESS_TOKEN", {"parser-worker-vk"}),
        ("YOUTUBE_API_KEY", {"parser-worker-youtube"}),
        ("PARSER_WORKER_MEMORY", PARSERS),
        ("DAG_BUNDLES", AIRFLOW),
        ("WEB_PORT", AIRFLOW),
    ],
)
def test_a_setting_is_there_only_where_it_is_used(variable, services):
    assert users(variable) == services


def test_every_setting_of_the_parser_tasks_reaches_all_who_use_it_and_the_check():
    (system,) = [system for system in SYSTEMS if system.name == "parser_tasks"]
    used = {*system.settings, "KAFKA_BOOTSTRAP_SERVERS", "KAFKA_HOST", "KAFKA_PORT"}
    for name in (*MANAGERS, "preflight"):
        assert used - COMPOSE["services"][name]["environment"].keys() == set(), name


def test_a_parsers_worker_is_given_no_secret_of_the_stack():
    given = {name: yaml.safe_dump(COMPOSE["services"][name], width=10_000) for name in PARSERS}
    assert [(name, secret) for name, text in given.items() for secret in SECRETS if secret in text] == []


def test_settings_of_ones_own_go_to_the_images_containers_and_connections_to_the_one_that_stores_them():
    with_settings = {name for name, one in COMPOSE["services"].items() if ".airflow" in str(one.get("env_file"))}
    assert with_settings == AIRFLOW | PARSERS | {"preflight"}
    with_connections = {name for name, one in COMPOSE["services"].items() if ".connections" in str(one.get("env_file"))}
    assert with_connections == {"init", "preflight"}
    assert not any("{path: .env.local" in str(one.get("env_file")) for one in COMPOSE["services"].values())


SETTINGS = r"""# my own
POSTGRES_PASSWORD=pg-s3cret
API_URL="https://api.example.com
AWS_INSIDE=1"
AWS_ACCESS_KEY_ID=me
COMPOSE_PROFILES=demo
AIRFLOW_CONN_CSV_API='{"conn_type": "http",
 "password": "it\'s",
 "AWS_SECRET": 1}'
# AWS_OLD=s3cret
export AIRFLOW__SMTP__HOST="a \" b
WORKERS=7"
HTTPS_PROXY=http://proxy:3128 # 'ours
VIEWER_PASSWORD=vw-s3cret
"""


@pytest.fixture
def stack_up(tmp_path):
    """`stack.sh up` beside a docker that only writes down what it is asked for; `refuses` is a word of that."""
    (tmp_path / "env.local").write_text(SETTINGS)
    docker = tmp_path / "docker"
    docker.write_text(
        f'#!/bin/sh\ncase "$*" in *version*) echo 2.26.1; exit;; esac\necho "$*" >>{tmp_path}/asked\n'
        'case "$*" in *"$REFUSES"*) echo "error: X is no Y" >&2; exit 1;; esac\n'
    )
    docker.chmod(0o755)

    def up(refuses="nothing at all"):
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "ENV_LOCAL": f"{tmp_path}/env.local", "REFUSES": refuses}
        ended = subprocess.run(
            [PROJECT / "deploy/stack.sh", "up"], env=environment, capture_output=True, text=True, check=False
        )
        asked = (tmp_path / "asked").read_text().splitlines()
        (tmp_path / "asked").unlink()
        verbs = [re.sub(r".*env\.local ", "", line) for line in asked if "env.local" in line]
        return ended.returncode, ended.stderr, verbs

    return up


def test_the_settings_are_checked_before_anything_that_runs_is_touched(stack_up):
    status, said, asked = stack_up(refuses="preflight")
    assert (status, said.splitlines()) == (
        1,
        ["error: X is no Y", "error: the settings are refused; nothing was started or changed"],
    )
    assert asked == ["build --quiet", "run --rm --no-deps -T preflight"]
    status, _, asked = stack_up()
    assert (status, asked[-1].split()[0]) == (0, "up")


def test_secrets_of_an_earlier_release_get_a_token_for_the_metrics_once(stack_up, tmp_path):
    path = tmp_path / "env.local"
    path.chmod(0o600)
    assert stack_up()[0] == 0
    first = path.read_text()
    assert re.fullmatch(re.escape(SETTINGS) + r"\nHEADRACE_METRICS_TOKEN=[\w-]{32}\n", first)
    assert stack_up()[0] == 0
    assert (path.read_text(), path.stat().st_mode & 0o777) == (first, 0o600)


@pytest.mark.parametrize("line", ["HEADRACE_METRICS_TOKEN=", "export HEADRACE_METRICS_TOKEN='mine'"])
def test_a_token_for_the_metrics_that_somebody_set_stays(stack_up, tmp_path, line):
    path = tmp_path / "env.local"
    path.write_text(f"{SETTINGS}{line}\n")
    assert stack_up()[0] == 0
    assert path.read_text() == f"{SETTINGS}{line}\n"


def test_the_env_file_is_divided_among_those_who_use_it(stack_up, tmp_path):
    assert stack_up()[0] == 0
    settings, connections = tmp_path / "env.local.airflow", tmp_path / "env.local.connections"
    assert settings.read_text().splitlines() == [
        "AWS_ACCESS_KEY_ID=me",
        'export AIRFLOW__SMTP__HOST="a \\" b',
        'WORKERS=7"',
        "HTTPS_PROXY=http://proxy:3128 # 'ours",
    ]
    assert connections.read_text().splitlines() == [
        """AIRFLOW_CONN_CSV_API='{"conn_type": "http",""",
        r""" "password": "it\'s",""",
        """ "AWS_SECRET": 1}'""",
    ]
    assert {path.stat().st_mode & 0o777 for path in (settings, connections)} == {0o600}


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ("COMPOSE_PROFILES=demo,kafka", "kafka:9092"),
        ("COMPOSE_PROFILES=demo", ""),
        ("COMPOSE_PROFILES=kafka\nKAFKA_BOOTSTRAP_SERVERS=kafka.example.com:9092", ""),
    ],
)
def test_the_stacks_own_broker_is_named_where_it_runs_and_no_other_is_set(tmp_path, settings, named):
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\nprintf %s "$KAFKA_BOOTSTRAP_SERVERS"\n')
    docker.chmod(0o755)
    (tmp_path / "env.local").write_text(f"{settings}\n")
    ended = subprocess.run(
        [PROJECT / "deploy/stack.sh", "compose", "config"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "ENV_LOCAL": str(tmp_path / "env.local")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout == named

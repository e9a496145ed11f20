"""What runs inside the stack's containers, as far as it needs no container."""

import base64
import io
import json

import pytest

from include.common.errors import BadInputError, ConfigError
from include.common.parameters import INPUT, OUTPUT, Parameter
from include.launch.stack import passwords, preflight, trigger
from include.launch.stack.connections import connections

GOOD = {name: f"{name.lower()}-Zk3v9QxL7mP2rT5wB8nJ4hG6" for name in preflight.SECRETS}
GOOD["FERNET_KEY"] = base64.urlsafe_b64encode(bytes(range(32))).decode()

SIZES = Parameter("sizes", "SIZES", "A file of sizes", INPUT)


def test_generated_secrets_are_good():
    assert preflight.problems(GOOD) == []


NEEDED = [name for name in preflight.SECRETS if name not in preflight.MAY_BE_EMPTY]


@pytest.mark.parametrize("name", NEEDED)
def test_each_secret_that_is_not_set_is_named(name):
    assert preflight.problems({**GOOD, name: ""}) == [f"{name} is empty"]
    assert preflight.problems({key: value for key, value in GOOD.items() if key != name}) == [f"{name} is empty"]


def test_the_metrics_need_no_token_but_no_weak_one_either():
    assert preflight.problems({**GOOD, "HEADRACE_METRICS_TOKEN": ""}) == []
    (problem,) = preflight.problems({**GOOD, "HEADRACE_METRICS_TOKEN": "kqz81"})
    assert problem == "HEADRACE_METRICS_TOKEN has 5 characters; it needs 15 or more"


@pytest.mark.parametrize(
    "value",
    ["airflow", "Admin123", "change-me", "password", "P-o-s-t-g-r-e-s", "admin-password-2026", "123456789012345678"],
)
def test_a_well_known_default_is_refused_without_showing_it(value):
    (problem,) = preflight.problems({**GOOD, "POSTGRES_PASSWORD": value})
    assert problem == "POSTGRES_PASSWORD is a well-known default"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("REDIS_PASSWORD", "kqz81", "REDIS_PASSWORD has 5 characters; it needs 15 or more"),
        ("JWT_SECRET", "kqz81-kqz82-kqz83-kqz84", "JWT_SECRET has 23 characters; it needs 32 or more"),
        ("ADMIN_PASSWORD", "xyxyxyxyxyxyxyxyxyxy", "ADMIN_PASSWORD repeats a few characters"),
        ("CELERY_DB_PASSWORD", "kqz81@kqz82/kqz83:kqz84", "CELERY_DB_PASSWORD holds a character that cannot stand"),
        ("FERNET_KEY", "kqz81-kqz82-kqz83-kqz84-kqz85-kqz86", "FERNET_KEY is no Fernet key"),
        ("FERNET_KEY", base64.urlsafe_b64encode(b"0" * 32).decode(), "FERNET_KEY is no Fernet key"),
    ],
)
def test_a_weak_secret_is_refused_by_name(name, value, problem):
    (found,) = preflight.problems({**GOOD, name: value})
    assert found.startswith(problem)
    assert value not in found


def test_one_secret_for_two_purposes_is_refused():
    (problem,) = preflight.problems({**GOOD, "VIEWER_PASSWORD": GOOD["ADMIN_PASSWORD"]})
    assert problem == "VIEWER_PASSWORD is the same as ADMIN_PASSWORD; each needs a secret of its own"


def test_connections_are_read_as_airflow_reads_them():
    found = connections(
        {
            "AIRFLOW_CONN_CSV_API": "https://me:p%40ss@api.example.com:8443/?x=1",
            "AIRFLOW_CONN_TELEGRAM_DEFAULT": json.dumps({"conn_type": "telegram", "password": "t", "host": "-100"}),
            "AIRFLOW_CONN_SYMBOL_API": " ",
            "API_URL": "https://x",
        }
    )
    assert [(one.conn_id, one.conn_type, one.host, one.password) for one in found] == [
        ("csv_api", "https", "api.example.com", "p@ss"),
        ("telegram_default", "telegram", "-100", "t"),
    ]


@pytest.mark.parametrize("value", ["{broken: s3cret}", '{"host": "s3cret"}', '{"conn_type": "http", "port": "s3cret"}'])
def test_a_connection_that_cannot_be_read_is_named_without_its_value(value):
    with pytest.raises(ConfigError, match=r"^AIRFLOW_CONN_CSV_API is no connection; allowed is") as raised:
        connections({"AIRFLOW_CONN_CSV_API": value})
    assert "s3cret" not in str(raised.value)


def test_the_passwords_file_is_readable_by_its_owner_only(monkeypatch, tmp_path):
    path = tmp_path / "passwords.json"
    path.write_text("{}")
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE", str(path))
    monkeypatch.setenv("ADMIN_PASSWORD", "one")
    monkeypatch.setenv("VIEWER_PASSWORD", "two")
    passwords.main()
    assert json.loads(path.read_text()) == {"admin": "one", "viewer": "two"}
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_of_the_host_is_kept_once_under_its_content(monkeypatch, tmp_path):
    monkeypatch.setenv("HEADRACE_STORAGE", str(tmp_path))
    kept = trigger.keep(SIZES, "some/where/my file.csv", io.BytesIO(b"id\n1\n"))
    assert kept == "inputs/7cde7fb64fd82bd1/my file.csv"
    assert (tmp_path / kept).read_bytes() == b"id\n1\n"
    assert trigger.keep(SIZES, "my file.csv", io.BytesIO(b"id\n1\n")) == kept
    with pytest.raises(BadInputError, match=r"SIZES is `my\.csv`, which is empty"):
        trigger.keep(SIZES, "my.csv", io.BytesIO())


def test_urls_and_outputs_go_to_the_run_as_they_are():
    assert trigger.place(SIZES, "s3://bucket/in.csv") == "s3://bucket/in.csv"
    assert trigger.place(Parameter("output", "OUTPUT", "", OUTPUT), "prices.json") == "prices.json"

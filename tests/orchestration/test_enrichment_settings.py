"""Where an API's address and credentials come from."""

import json

import pytest

from include.common.errors import ConfigError
from include.enrichment.models import Request
from include.orchestration.enrichment import settings

REQUEST = Request(connection="csv_api", address_variable="API_URL", path="/{id}", demo_path="/countries")


def set_connection(monkeypatch, **fields):
    monkeypatch.setenv("AIRFLOW_CONN_CSV_API", json.dumps({"conn_type": "http", **fields}))


def test_without_any_address_the_error_names_every_place_looked_at():
    with pytest.raises(ConfigError, match=r"API_URL and the connection `csv_api` \(AIRFLOW_CONN_CSV_API"):
        settings.endpoint(REQUEST)


def test_the_demo_api_answers_where_nothing_else_is_set(monkeypatch):
    monkeypatch.setenv("HEADRACE_DEMO_API", "http://127.0.0.1:9/")
    found = settings.endpoint(REQUEST)
    assert found.url == "http://127.0.0.1:9/countries"
    assert settings.is_demo(found)


def test_a_connection_wins_over_the_demo_api(monkeypatch):
    monkeypatch.setenv("HEADRACE_DEMO_API", "http://127.0.0.1:9")
    set_connection(monkeypatch, host="api.example.com", schema="https", port=8443)
    assert settings.endpoint(REQUEST).url == "https://api.example.com:8443"


def test_credentials_without_a_host_are_not_taken_to_the_demo_api(monkeypatch):
    monkeypatch.setenv("HEADRACE_DEMO_API", "http://127.0.0.1:9")
    set_connection(monkeypatch, password="pass")
    with pytest.raises(ConfigError, match=r"no address of the API.*connection `csv_api`.*, which has no host"):
        settings.endpoint(REQUEST)


def test_headers_and_query_of_a_connection_come_from_its_extra(monkeypatch):
    set_connection(
        monkeypatch,
        host="https://api.example.com/v1",
        login="me",
        password="pass",
        extra={
            "X-Tenant": "7",
            "timeout": 3,
            "verify": "no",
            "headers": {"Authorization": "Bearer t"},
            "query": {"k": 1},
        },
    )
    found = settings.endpoint(REQUEST)
    assert found.url == "https://api.example.com/v1"
    assert found.headers == {"X-Tenant": "7", "Authorization": "Bearer t"}
    assert found.query == {"k": "1"}
    assert (found.login, found.password) == ("me", "pass")


def test_api_url_wins_over_the_connection_and_does_not_get_its_credentials(monkeypatch):
    set_connection(monkeypatch, host="https://api.example.com", password="pass", extra={"headers": {"A": "b"}})
    monkeypatch.setenv("API_URL", "https://elsewhere.example.com/data")
    found = settings.endpoint(REQUEST)
    assert found.url == "https://elsewhere.example.com/data"
    assert found.password is None
    assert found.headers == {}


def test_api_url_on_the_connections_own_host_gets_its_credentials(monkeypatch):
    set_connection(monkeypatch, host="https://api.example.com", password="pass")
    monkeypatch.setenv("API_URL", "https://api.example.com/data")
    assert settings.endpoint(REQUEST).password == "pass"


def test_a_connection_without_a_host_lends_its_credentials_to_api_url(monkeypatch):
    set_connection(monkeypatch, extra={"headers": {"Authorization": "Bearer t"}})
    monkeypatch.setenv("API_URL", "https://api.example.com/data")
    assert settings.endpoint(REQUEST).headers == {"Authorization": "Bearer t"}


def test_whoever_triggers_a_run_cannot_send_the_credentials_to_another_host(monkeypatch):
    set_connection(monkeypatch, extra={"headers": {"Authorization": "Bearer t"}})
    assert settings.endpoint(REQUEST, api_url="https://evil.example.com").headers == {}


def test_credentials_written_in_the_address_are_taken_out_of_it(monkeypatch):
    monkeypatch.setenv("API_URL", "https://me:pa%40ss@api.example.com/data")
    found = settings.endpoint(REQUEST)
    assert found.url == "https://api.example.com/data"
    assert (found.login, found.password) == ("me", "pa@ss")
    assert "pa@ss" not in repr(found)


@pytest.mark.parametrize("address", ["api.example.com/data", "ftp://api.example.com", "https://", "http://[bad"])
def test_an_address_that_is_no_http_url_is_an_error_that_names_its_origin(monkeypatch, address):
    monkeypatch.setenv("API_URL", address)
    with pytest.raises(ConfigError, match=r"API_URL.*allowed is"):
        settings.endpoint(REQUEST)


def test_an_extra_that_is_no_object_is_an_error_that_names_the_connection(monkeypatch):
    set_connection(monkeypatch, host="x", extra="[1]")
    with pytest.raises(ConfigError, match="connection `csv_api`: its extra must be a JSON object"):
        settings.endpoint(REQUEST)


@pytest.mark.parametrize(
    ("given", "megabytes"),
    [({}, 1024), ({"HEADRACE_UPLOAD_MB": " "}, 1024), ({"HEADRACE_UPLOAD_MB": " 5 "}, 5)],
)
def test_the_limit_of_an_upload_is_a_gigabyte_unless_it_is_set(given, megabytes):
    assert settings.most_upload_bytes(given) == megabytes * 1024 * 1024


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "1g"])
def test_a_limit_of_an_upload_that_is_no_number_is_named(text):
    with pytest.raises(ConfigError, match=f"^HEADRACE_UPLOAD_MB is `{text}`; allowed is a whole number from 1$"):
        settings.most_upload_bytes({"HEADRACE_UPLOAD_MB": text})

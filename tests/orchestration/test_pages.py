"""What the plugin mounts, with Airflow's own simple auth manager: every route of every application."""

from datetime import UTC, datetime

import pytest
from airflow.api_fastapi.app import create_auth_manager, purge_cached_app
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families as parse_metrics
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from include.common.database import connect
from include.common.schema import migrate
from include.enrichment.history import History, counts_of
from include.enrichment.models import Counts
from include.enrichment.report import Report
from include.launch.branches import branches
from include.orchestration import access, pages, systems
from include.orchestration.systems import Page, System
from include.web.overview import DagState
from tests.html import parse, text_of
from tests.routes import CHANGING, answered, paths, undocumented

TOKEN = "kqz81-kqz82-kqz83"
TOY = System("toys", "Toys", {"toys.py": ("toy",)}, page=Page("toys", "tests.stand_ins.toy_page"))
LOGGED_OUT = access.user_of


def user(role):
    return {"authorization": f"Bearer {role}"}


async def user_of(request):
    role = request.headers.get("authorization", "").removeprefix("Bearer ")
    if not role:
        raise HTTPException(401, "Not authenticated")
    return SimpleAuthManagerUser(username=role, role=None if role == "nobody" else role)


@pytest.fixture
def asked():
    """The DAGs whose states were asked for."""
    return []


@pytest.fixture(autouse=True)
def _airflow(monkeypatch, asked):
    create_auth_manager()
    monkeypatch.setattr(access, "user_of", user_of)
    monkeypatch.setattr(systems, "SYSTEMS", (*systems.SYSTEMS, TOY))
    monkeypatch.setattr(
        pages, "dag_states", lambda dag_ids: asked.append(dag_ids) or {one: DagState(True) for one in dag_ids}
    )
    yield
    purge_cached_app()


@pytest.fixture
def mounted():
    return {one["url_prefix"]: one["app"] for one in pages.applications()}


@pytest.fixture
def _counted(monkeypatch, new_history):
    """A run of each DAG has ended."""
    for dag_id in ("csv_processing", "symbol_processing"):
        report = Report(dag_id, "manual__1", "success", 2.0, Counts(3, 2, 1, 0), calls=4, retries=1)
        new_history.keep(counts_of(report, datetime.now(UTC)))


@pytest.fixture
def new_history(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path / 'headrace.db'}"
    migrate(url, branches=branches())
    monkeypatch.setenv("HEADRACE_DATABASE_URL", url)
    return History(connect(url))


@pytest.fixture
def _token(monkeypatch):
    monkeypatch.setenv("HEADRACE_METRICS_TOKEN", TOKEN)


@pytest.fixture
def client(mounted):
    airflow = FastAPI()
    for prefix, app in mounted.items():
        airflow.mount(prefix, app)
    return TestClient(airflow, raise_server_exceptions=False)


@pytest.fixture
def routes(mounted):
    found = [route for prefix, app in mounted.items() for route in undocumented(paths(app, prefix))]
    assert {
        "GET /headrace/",
        "GET /headrace/metrics",
        "GET /headrace/openapi.json",
        "POST /headrace/toys/toys/{toy}",
    } <= {route.name for route in found}
    return found


def test_the_overview_is_mounted_behind_the_systems_for_its_address_begins_theirs(mounted):
    assert list(mounted) == ["/headrace/csv", "/headrace/parser-manager", "/headrace/toys", "/headrace"]


def test_without_a_login_no_route_answers(client, routes):
    assert answered(client, routes) == {}


def test_without_a_login_airflow_itself_refuses(monkeypatch, mounted, client, routes):
    monkeypatch.setattr(access, "user_of", LOGGED_OUT)
    for prefix, app in ((one["url_prefix"], one["app"]) for one in pages.applications()):
        assert answered(TestClient(app, root_path=""), undocumented(paths(app))) == {}, prefix


def test_a_user_without_a_right_to_any_dag_sees_nothing(client, routes):
    assert answered(client, routes, user("nobody")) == {}


def test_a_viewer_changes_nothing(client, routes):
    assert answered(client, [route for route in routes if route.method in CHANGING], user("viewer")) == {}
    assert client.post("/headrace/toys/toys/1", headers=user("viewer")).status_code == 403
    assert client.get("/headrace/toys/", headers=user("viewer")).status_code == 200
    assert client.post("/headrace/toys/toys/1", headers=user("admin")).json() == "1"


def test_a_right_to_one_dag_shows_that_dag_and_opens_no_other_system(monkeypatch, client, asked):
    monkeypatch.setattr(access, "may", lambda method, user, dag_id: dag_id == "symbol_processing")
    page = parse(client.get("/headrace/", headers=user("viewer")).text)
    assert [text_of(row.find("th")) for row in page.findall(".//tr[@id]")] == ["symbol_processing"]
    assert asked == [["symbol_processing"]]
    assert client.get("/headrace/toys/", headers=user("viewer")).status_code == 403


def test_a_system_without_a_dag_yet_asks_for_the_right_to_all_dags(monkeypatch):
    asked = []
    monkeypatch.setattr(access, "may", lambda method, user, dag_id: asked.append((method, dag_id)))
    assert not access.to_all(lambda: []).may_change("somebody")
    assert asked == [("POST", None)]


def test_the_overview_shows_every_system_and_a_tab_for_those_that_have_a_page(client):
    page = parse(client.get("/headrace/", headers=user("viewer")).text)
    assert [text_of(head) for head in page.findall(".//tr[@class='system']/th")] == [
        "CSV: open its page",
        "Parser tasks: open its page",
        "Toys: open its page",
    ]
    tabs = page.findall(".//nav[@class='tabs']/a")
    assert [(text_of(tab), tab.get("href")) for tab in tabs] == [
        ("Overview", "/headrace/"),
        ("CSV", "/headrace/csv/"),
        ("Parser tasks", "/headrace/parser-manager/"),
        ("Toys", "/headrace/toys/"),
    ]


def counted(client, headers):
    """How many calls the metrics tell of each DAG."""
    answer = client.get("/headrace/metrics", headers=headers)
    assert answer.status_code == 200
    found = [one for family in parse_metrics(answer.text) for one in family.samples]
    return {one.labels["dag_id"]: one.value for one in found if one.name == "headrace_csv_calls_total"}


@pytest.mark.usefixtures("_counted", "_token")
def test_the_scrape_token_reads_the_metrics_of_all_dags_and_no_other_route(client, routes):
    assert counted(client, user(TOKEN)) == {"csv_processing": 4, "symbol_processing": 4}
    opened = answered(client, routes, user(TOKEN))
    assert {name: status for name, status in opened.items() if "metrics" in name} == {"GET /headrace/metrics": 200}


@pytest.mark.usefixtures("_counted", "_token")
def test_with_airflows_own_login_a_wrong_token_reads_nothing_and_the_right_one_the_metrics_only(monkeypatch):
    monkeypatch.setattr(access, "user_of", LOGGED_OUT)
    mounted = {one["url_prefix"]: one["app"] for one in pages.applications()}
    airflow = FastAPI()
    for prefix, app in mounted.items():
        airflow.mount(prefix, app)
    client = TestClient(airflow, raise_server_exceptions=False)
    every = [route for prefix, app in mounted.items() for route in undocumented(paths(app, prefix))]
    assert client.get("/headrace/metrics", headers=user("wrong")).status_code == 401
    assert answered(client, every, user("wrong")) == {}
    assert answered(client, every, user(TOKEN)) == {"GET /headrace/metrics": 200}


@pytest.mark.usefixtures("_counted")
def test_a_user_sees_the_metrics_of_the_dags_that_he_may_see(monkeypatch, client):
    assert counted(client, user("viewer")) == {"csv_processing": 4, "symbol_processing": 4}
    monkeypatch.setattr(access, "may", lambda method, user, dag_id: dag_id == "symbol_processing")
    assert counted(client, user("viewer")) == {"symbol_processing": 4}


def test_without_a_database_the_metrics_are_a_sentence_and_the_overview_lives(monkeypatch, client):
    monkeypatch.setenv("HEADRACE_DATABASE_URL", "postgresql+psycopg2://me@127.0.0.1:9/headrace?connect_timeout=1")
    answer = client.get("/headrace/metrics", headers=user("viewer"))
    assert answer.status_code == 503
    assert answer.json()["detail"].startswith("the application database cannot be used for the totals of the runs: ")
    assert client.get("/headrace/", headers=user("viewer")).status_code == 200

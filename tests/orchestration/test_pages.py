"""What the plugin mounts, with Airflow's own simple auth manager: every route of every application."""

import pytest
from airflow.api_fastapi.app import create_auth_manager, purge_cached_app
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from include.orchestration import access, pages, systems
from include.orchestration.systems import Page, System
from include.web.overview import DagState
from tests.html import parse, text_of
from tests.routes import CHANGING, answered, paths, undocumented

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
def client(mounted):
    airflow = FastAPI()
    for prefix, app in mounted.items():
        airflow.mount(prefix, app)
    return TestClient(airflow, raise_server_exceptions=False)


@pytest.fixture
def routes(mounted):
    found = [route for prefix, app in mounted.items() for route in undocumented(paths(app, prefix))]
    assert {"GET /headrace/", "GET /headrace/openapi.json", "POST /headrace/toys/toys/{toy}"} <= {
        route.name for route in found
    }
    return found


def test_the_overview_is_mounted_behind_the_systems_for_its_address_begins_theirs(mounted):
    assert list(mounted) == ["/headrace/toys", "/headrace"]


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
    assert [text_of(head) for head in page.findall(".//tr[@class='system']/th")] == ["CSV", "Toys"]
    tabs = page.findall(".//nav[@class='tabs']/a")
    assert [(text_of(tab), tab.get("href")) for tab in tabs] == [
        ("Overview", "/headrace/"),
        ("Toys", "/headrace/toys/"),
    ]

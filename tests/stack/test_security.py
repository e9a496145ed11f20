"""The running stack from an attacker's side: every route of every API, the ports, the secrets."""

import inspect
import json
from pathlib import Path

import airflow
import httpx
import jwt
import pytest
import yaml
from airflow.api_fastapi.execution_api.versions import bundle
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from starlette.testclient import TestClient

from include.launch.stack.preflight import SECRETS
from tests.routes import CHANGING, answered, documented, paths, undocumented
from tests.stack.conftest import run

# What Airflow tells anybody, by its design: that it is alive, and its version.
PUBLIC = {
    "api": {"GET /api/v2/monitor/health": 200, "GET /api/v2/version": 200},
    "ui": {},
    "auth": {},
    "execution": {"GET /execution/health": 200, "GET /execution/health/ping": 200},
}
# What a viewer may send although its method is one that changes: queries, the own favorites, a new token of its own.
VIEWERS = {
    "POST /api/v2/dags/{dag_id}/dagRuns/list": 200,
    "POST /api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/list": 200,
    "POST /api/v2/dags/{dag_id}/favorite": 404,
    "POST /api/v2/dags/{dag_id}/unfavorite": 404,
    "POST /ui/auth/token": 200,
}
# Bodies that the schemas do not tell.
BODIES = {"POST /api/v2/dags/{dag_id}/clearDagRuns": {"dag_runs": [{"dag_id": "x", "dag_run_id": "x"}]}}
# A task runs anybody's code with its worker's environment.
WORKERS_NEED = ["HEADRACE_DB_PASSWORD", "CELERY_DB_PASSWORD", "REDIS_PASSWORD", "API_SECRET_KEY"]
READ_METADATA = """
import os
from sqlalchemy import create_engine, text
from sqlalchemy.exc import ProgrammingError
engine = create_engine(os.environ["AIRFLOW__CELERY__RESULT_BACKEND"].removeprefix("db+"))
try:
    print(engine.connect().execute(text("SELECT * FROM public.connection")).all())
except ProgrammingError as error:
    print(error.orig)
"""


@pytest.fixture(scope="module")
def web(stack):
    """The web server, to somebody without a login."""
    with httpx.Client(base_url=stack.web, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def login(stack, web):
    """The headers of a user who is logged in."""

    def headers(user: str) -> dict[str, str]:
        given = {"username": user, "password": stack.secret(f"{user.upper()}_PASSWORD")}
        token = web.post("/auth/token", json=given).raise_for_status().json()["access_token"]
        return {"Authorization": f"Bearer {token}"}

    return headers


@pytest.fixture(scope="module")
def admin(login):
    return login("admin")


@pytest.fixture(scope="module")
def viewer(login):
    return login("viewer")


@pytest.fixture(scope="module")
def routes(web, admin):
    """Every route of Airflow's four APIs. Those that look for a thing before they look for its rights are given one."""

    def read(path: str) -> dict:
        return web.get(path, headers=admin).raise_for_status().json()

    def backfill() -> int:
        known = read("/api/v2/backfills?dag_id=symbol_processing")["backfills"]
        wanted = {
            "dag_id": "symbol_processing",
            "from_date": "2026-01-01T00:30:00Z",
            "to_date": "2026-01-01T01:30:00Z",
            "dag_run_conf": {"dry_run": True},
        }
        made = known or [web.post("/api/v2/backfills", json=wanted, headers=admin).raise_for_status().json()]
        return made[0]["id"]

    # The schema of the UI's own API is served to nobody, it lies in the package.
    ui = Path(airflow.__file__).parent / "api_fastapi/core_api/openapi/_private_ui.yaml"
    known = {"backfill_id": backfill(), "file_token": read("/api/v2/dags/csv_processing")["file_token"]}
    return {
        "api": list(documented(read("/openapi.json"), "", known, BODIES)),
        "ui": list(documented(yaml.safe_load(ui.read_text()))),
        "auth": list(documented(read("/auth/openapi.json"), "/auth")),
        "execution": list(
            documented(read(f"/execution/openapi.json?version={bundle.versions[0].value}"), "/execution")
        ),
    }


@pytest.fixture(scope="module")
def plugin_routes(stack, web, admin):
    """Every route of the applications that plugins mount, as the api-server's own container sees them."""
    code = f"""
import json
from typing import Any
from airflow.plugins_manager import get_fastapi_plugins
{inspect.getsource(paths)}
print(json.dumps({{one["url_prefix"]: paths(one["app"], one["url_prefix"]) for one in get_fastapi_plugins()[0]}}))
"""
    mounted = json.loads(stack.exec("api-server", "python", "-c", code).splitlines()[-1])
    listed = web.get("/api/v2/plugins?limit=100", headers=admin).raise_for_status().json()["plugins"]
    assert sorted(mounted) == sorted(one["url_prefix"] for plugin in listed for one in plugin["fastapi_apps"])
    return [route for found in mounted.values() for route in undocumented(found)]


@pytest.mark.parametrize("user", ["admin", "viewer"])
@pytest.mark.parametrize("password", ["wrong", "admin", "viewer", "airflow"])
def test_a_wrong_password_gets_no_token(web, user, password):
    assert web.post("/auth/token", json={"username": user, "password": password}).status_code == 401


@pytest.mark.parametrize("api", PUBLIC)
def test_nothing_answers_without_a_login_but_what_is_public_by_design(web, routes, api):
    assert routes[api]
    assert answered(web, routes[api]) == PUBLIC[api]


@pytest.mark.parametrize(
    ("algorithm", "secret"), [("none", None), ("HS512", "a secret of somebody else's, long enough" * 2)]
)
def test_a_forged_token_is_refused(web, algorithm, secret):
    claims = {"sub": "admin", "role": "admin", "aud": "apache-airflow", "iat": 1767225600, "exp": 4102444800}
    forged = jwt.encode({**claims, "nbf": claims["iat"]}, secret, algorithm)
    assert web.get("/api/v2/dags", headers={"Authorization": f"Bearer {forged}"}).status_code in (401, 403)


def test_a_person_s_token_opens_nothing_of_the_api_of_the_tasks(web, routes, admin):
    assert answered(web, routes["execution"], admin) == PUBLIC["execution"]


@pytest.mark.parametrize(
    "path", ["dags", "dags/csv_processing", "dags/csv_processing/dagRuns", "dagSources/csv_processing"]
)
def test_a_viewer_reads_dags_and_runs(web, viewer, path):
    assert web.get(f"/api/v2/{path}", headers=viewer).status_code == 200


@pytest.mark.parametrize("path", ["connections", "connections/x", "variables", "variables/x", "config"])
def test_a_viewer_reads_no_secret(web, viewer, path):
    assert web.get(f"/api/v2/{path}", headers=viewer).status_code == 403


def test_a_viewer_changes_nothing(web, routes, viewer):
    changing = [route for api in ("api", "ui") for route in routes[api] if route.method in CHANGING]
    assert answered(web, changing, viewer) == VIEWERS


def test_no_route_of_a_plugin_answers_without_a_login(web, plugin_routes):
    assert answered(web, plugin_routes) == {}


def test_a_viewer_changes_nothing_through_a_plugin(web, plugin_routes, viewer):
    assert answered(web, [route for route in plugin_routes if route.method in CHANGING], viewer) == {}


def test_an_open_route_of_an_application_is_found_wherever_it_hides():
    def check(request: Request) -> None:
        if "authorization" not in request.headers:
            raise HTTPException(401)

    router = APIRouter(prefix="/rows")
    router.add_api_route("/{row}/closed", lambda row: row, methods=["GET"], dependencies=[Depends(check)])
    router.add_api_route("/{row}/open", lambda row: row, methods=["DELETE"], include_in_schema=False)
    router.add_api_websocket_route("/live", lambda socket: socket.accept())
    inner = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    inner.include_router(router)
    plugin = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    plugin.mount("/inner", inner)
    airflow_app = FastAPI()
    airflow_app.mount("/headrace", plugin)

    found = list(undocumented(paths(plugin, "/headrace")))

    assert [route.name for route in found] == [
        "GET /headrace/inner/rows/{row}/closed",
        "DELETE /headrace/inner/rows/{row}/open",
        "GET /headrace/inner/rows/live",
    ]
    with TestClient(airflow_app) as client:
        assert answered(client, found) == {
            "DELETE /headrace/inner/rows/{row}/open": 200,
            "GET /headrace/inner/rows/live": 404,
        }


def test_no_port_is_published_but_the_web_server_s_on_loopback(stack):
    lines = [line for line in stack.compose("ps", "--format", "json").splitlines() if line.startswith("{")]
    published = {
        (container["Service"], port["URL"], port["PublishedPort"])
        for container in map(json.loads, lines)
        for port in container["Publishers"] or ()
        if port["PublishedPort"]
    }
    assert published == {
        ("api-server", "127.0.0.1", int(stack.environment["WEB_PORT"])),
        ("demo-api", "127.0.0.1", int(stack.environment["DEMO_PORT"])),  # tests/stack/compose.yaml
    }


def test_a_worker_holds_no_secret_that_it_does_not_need(stack):
    workers = run(["docker", "inspect", *stack.containers("worker")])
    assert [name for name in SECRETS if stack.secret(name) in workers.output] == WORKERS_NEED


def test_the_database_user_of_the_workers_reads_nothing_of_airflow_s(stack):
    assert "permission denied" in stack.exec("worker", "python", "-c", READ_METADATA)


def test_no_container_logs_a_secret(stack):
    logs = stack.compose("logs", "--no-color", "--no-log-prefix")
    assert "databases and pools are up to date" in logs
    assert [name for name in SECRETS if stack.secret(name) in logs] == []


def test_no_log_of_a_task_holds_a_secret(stack):
    wanted = [argument for name in SECRETS for argument in ("-e", stack.secret(name))]
    found = stack.exec("worker", "sh", "-c", 'grep -rlF "$@" /opt/airflow/logs || test $? = 1', "grep", *wanted)
    assert found == ""


def test_redis_answers_nobody_without_its_password(stack):
    assert "NOAUTH" in stack.exec("redis", "env", "REDISCLI_AUTH=", "redis-cli", "llen", "default")

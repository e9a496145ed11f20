"""What stands before every route of the pages."""

import pytest
from fastapi import APIRouter, FastAPI
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from include.web.app import build_app
from include.web.guard import HEADERS
from include.web.pages import Pages, Tab
from tests.routes import CHANGING, answered, paths, undocumented
from tests.unit.web.conftest import ADMIN, OWN_FORM, STRANGER, VIEWER

TAB = Tab("Toys", "/toys")


@pytest.fixture
def done():
    return []


@pytest.fixture
def toys(access, done):
    """An application whose author thought of no access at all, with routes in every place where they can hide."""
    app = build_app(Pages(TAB, (TAB,)), access)
    router = APIRouter(prefix="/toys")
    for method in ("GET", *CHANGING):
        router.add_api_route("", lambda: done.append("done"), methods=[method])
    app.include_router(router)
    inner = FastAPI()
    inner.add_api_route("/hidden", lambda: done.append("done"), methods=["GET", "DELETE"], include_in_schema=False)
    app.mount("/inner", inner)
    app.add_api_websocket_route("/live", lambda socket: socket.accept())
    return app


@pytest.fixture
def client(toys, served):
    return served(toys=toys)


@pytest.fixture
def routes(toys):
    return list(undocumented(paths(toys, "/headrace/toys")))


def test_no_route_answers_without_a_login(client, routes, done):
    assert {route.method for route in routes} == {"GET", "HEAD", *CHANGING}
    assert {"GET /headrace/toys/openapi.json", "DELETE /headrace/toys/inner/hidden"} <= {one.name for one in routes}
    assert answered(client, routes) == {}
    assert done == []


def test_no_route_answers_somebody_without_any_right(client, routes, done):
    assert answered(client, routes, STRANGER) == {}
    assert done == []


def test_a_viewer_reads_and_changes_nothing(client, routes, done):
    found = answered(client, [route for route in routes if route.method in CHANGING], VIEWER)
    assert (found, done) == ({}, [])
    assert client.get("/headrace/toys/toys", headers=VIEWER).status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        {"sec-fetch-site": "same-site", "hx-request": "true"},  # from another port of the same host
        {"sec-fetch-site": "cross-site", "hx-request": "true"},
        {"sec-fetch-site": "same-origin"},
        {"hx-request": "true"},
        {},
    ],
)
def test_a_form_of_another_site_changes_nothing_although_the_cookie_comes_along(client, routes, done, sent):
    forged = {"cookie": OWN_FORM["cookie"], **sent}
    found = answered(client, [route for route in routes if route.method in CHANGING], forged)
    assert (found, done) == ({}, [])


@pytest.mark.parametrize("method", CHANGING)
@pytest.mark.parametrize("headers", [ADMIN, OWN_FORM], ids=["a token", "the page's own form"])
def test_who_may_changes_something(client, done, method, headers):
    assert client.request(method, "/headrace/toys/toys", headers=headers).status_code == 200
    assert done == ["done"]


@pytest.mark.parametrize(
    ("origin", "status"), [("http://testserver", 200), ("http://testserver:81", 403), ("null", 403), (None, 403)]
)
def test_of_an_old_browser_the_origin_decides(client, origin, status):
    headers = {name: value for name, value in OWN_FORM.items() if name != "sec-fetch-site"}
    headers |= {"origin": origin} if origin else {}
    assert client.post("/headrace/toys/toys", headers=headers).status_code == status


def test_the_walk_over_the_routes_sees_one_that_is_open(done):
    """The same application without its guard."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_api_route("/open", lambda: done.append("done"), methods=["POST"])
    found = answered(TestClient(app), undocumented(paths(app)))
    assert (found, done) == ({"POST /open": 200}, ["done"])


def test_static_files_are_for_anybody_and_nothing_else_by_their_name(client):
    for name in ("app.css", "app.js", "theme.js", "htmx.min.js", "headrace.svg"):
        assert client.get(f"/headrace/toys/static/{name}").status_code == 200
    for path in ("static", "static/../toys", "static/%2e%2e/toys", "toys/static/"):
        assert client.get(f"/headrace/toys/{path}").status_code in (401, 404)
    assert client.post("/headrace/toys/static/app.css").status_code == 401


def test_a_websocket_is_not_opened(client):
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect("ws://testserver/headrace/toys/live", headers=ADMIN),
    ):
        pass


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("toys", ADMIN, 200),
        ("toys", {}, 401),
        ("toys", STRANGER, 403),
        ("nothing", ADMIN, 404),
        ("broken", ADMIN, 500),
        ("static/app.css", {}, 200),
        ("openapi.json", ADMIN, 200),
    ],
)
def test_every_answer_has_the_policy_and_only_static_files_are_kept(toys, client, path, headers, status):
    toys.add_api_route("/broken", lambda: 1 / 0)
    answer = client.get(f"/headrace/toys/{path}", headers=headers)
    assert answer.status_code == status
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert answer.headers.get("cache-control") == (None if path.startswith("static") else "no-store")
    assert "script-src" not in answer.headers["content-security-policy"]


def test_below_a_prefix_what_comes_past_the_proxy_is_guarded_and_answered_alike(toys, served):
    client = served("/flow", toys=toys)
    client.base_url = "http://testserver"
    for prefix in ("/flow", ""):
        assert client.get(f"{prefix}/headrace/toys/static/app.css").status_code == 200
        assert client.get(f"{prefix}/headrace/toys/toys").status_code == 401
        assert client.get(f"{prefix}/headrace/toys/toys", headers=VIEWER).status_code == 200
        assert client.get(f"{prefix}/headrace/toys/inner/hidden", headers=VIEWER).status_code == 200

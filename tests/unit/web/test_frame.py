"""The frame around a page, and errors in the form that the caller can take."""

import json

import pytest
from fastapi import Query, Request
from fastapi.responses import HTMLResponse

from include.common.errors import BadInputError, ConfigError, ConflictError, TransientError
from include.web.app import build_app
from include.web.pages import FAILED, NOT_FOUND, Pages, Tab
from tests.html import parse, text_of
from tests.unit.web.conftest import ADMIN, VIEWER

OVERVIEW, TOYS = Tab("Overview", ""), Tab("Toys", "/toys")
BROWSER, HTMX = {"accept": "text/html,*/*"}, {"accept": "*/*", "hx-request": "true"}
MARKUP = '<img src=x onerror="alert(1)">'
ERRORS = {
    "input": (BadInputError(f"row 3 is {MARKUP}"), 422),
    "conflict": (ConflictError("there is such a toy"), 409),
    "away": (TransientError("the database does not answer"), 503),
    "setting": (ConfigError("TOYS is `x`; allowed is a number"), 503),
}


@pytest.fixture
def client(access, served, tmp_path):
    (tmp_path / "toys.html").write_text(
        '{% extends "base.html" %}{% block main %}<p>{{ name }}</p><button{{ "" if may_change else " disabled" }}>'
        "Make</button>{% endblock %}"
    )
    pages = Pages(TOYS, (OVERVIEW, TOYS), tmp_path)
    app = build_app(pages, access)

    @app.get("/")
    def toys(request: Request):
        return pages.render(request, "toys.html", {"name": MARKUP}, HX_Trigger="rowsChanged")

    @app.get("/errors/{name}")
    def fail(name: str):
        raise ERRORS[name][0]

    @app.get("/api/v1/errors/{name}")
    def fail_as_json(name: str):
        raise ERRORS[name][0]

    @app.get("/page")
    def page(number: int = Query(ge=1)):
        return HTMLResponse(str(number))

    def serve(prefix=""):
        return served(prefix, toys=app)

    return serve


@pytest.mark.parametrize("prefix", ["", "/flow"])
def test_a_page_stands_in_the_frame_with_its_way_back_and_its_tabs(client, prefix):
    page = parse(client(prefix).get("/headrace/toys/", headers=ADMIN).text)
    assert text_of(page.find(".//title")) == "Toys"
    crumbs = page.find(".//ol[@class='breadcrumb']")
    assert [(text_of(one), one.get("aria-current")) for one in crumbs] == [("Headrace", None), ("Toys", "page")]
    assert crumbs.find(".//a").get("href") == f"{prefix}/headrace/"
    tabs = page.findall(".//nav[@class='tabs']/a")
    assert [(text_of(tab), tab.get("href"), tab.get("aria-current")) for tab in tabs] == [
        ("Overview", f"{prefix}/headrace/", None),
        ("Toys", f"{prefix}/headrace/toys/", "page"),
    ]
    assert page.find(".//meta[@name='airflow']").get("content") == prefix


@pytest.mark.parametrize("prefix", ["", "/flow"])
def test_what_a_page_loads_is_there_and_nothing_is_inline(client, prefix):
    served = client(prefix)
    page = parse(served.get("/headrace/toys/", headers=ADMIN).text)
    loaded = [one.get("src") or one.get("href") for one in (*page.findall(".//script"), *page.findall(".//link"))]
    assert len(loaded) == 5
    assert all(served.get(f"http://testserver{path}").status_code == 200 for path in loaded)
    for element in page.iter():
        assert not {name for name in element.attrib if name == "style" or name.startswith(("on", "hx-on"))}
        assert element.tag != "style"
    assert all(text_of(script) == "" for script in page.findall(".//script"))


def test_htmx_is_set_to_need_neither_eval_nor_a_style(client):
    page = parse(client().get("/headrace/toys/", headers=ADMIN).text)
    config = json.loads(page.find(".//meta[@name='htmx-config']").get("content"))
    assert (config["allowEval"], config["includeIndicatorStyles"]) == (False, False)


def test_markup_shows_as_text(client):
    page = parse(client().get("/headrace/toys/", headers=ADMIN).text)
    assert page.find(".//main//img") is None
    assert text_of(page.find(".//main/p")) == MARKUP


def test_a_button_is_off_for_who_may_not_use_it(client):
    for user, disabled in ((ADMIN, None), (VIEWER, "")):
        page = parse(client().get("/headrace/toys/", headers=user).text)
        assert page.find(".//main/button").get("disabled") == disabled


def test_an_answer_may_trigger_something_in_the_page(client):
    assert client().get("/headrace/toys/", headers=ADMIN).headers["hx-trigger"] == "rowsChanged"


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_a_page_to_a_browser(client, name):
    error, status = ERRORS[name]
    answer = client().get(f"/headrace/toys/errors/{name}", headers={**ADMIN, **BROWSER})
    assert answer.status_code == status
    page = parse(answer.text)
    assert text_of(page.find(".//main//p")) == str(error)
    assert page.find(".//main//img") is None
    assert page.find(".//nav[@class='tabs']") is not None


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_a_toast_to_htmx(client, name):
    error, status = ERRORS[name]
    answer = client().get(f"/headrace/toys/errors/{name}", headers={**ADMIN, **HTMX})
    assert answer.status_code == status
    assert (answer.headers["hx-retarget"], answer.headers["hx-reswap"]) == ("#toasts", "beforeend")
    (toast,) = parse(answer.text)
    assert (toast.get("class"), text_of(toast)) == ("toast", str(error))


@pytest.mark.parametrize(
    ("path", "headers"), [("errors", {}), ("errors", {"accept": "application/json"}), ("api/v1/errors", BROWSER)]
)
def test_an_error_is_json_to_a_program(client, path, headers):
    answer = client().get(f"/headrace/toys/{path}/away", headers={**ADMIN, **headers})
    assert (answer.status_code, answer.json()) == (503, {"detail": "the database does not answer"})


@pytest.mark.parametrize("headers", [BROWSER, HTMX, {}], ids=["browser", "htmx", "program"])
def test_what_nobody_expected_is_logged_and_never_shown(client, headers, monkeypatch, caplog):
    monkeypatch.setitem(ERRORS, "bug", (RuntimeError("secret"), 500))
    answer = client().get("/headrace/toys/errors/bug", headers={**ADMIN, **headers})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert FAILED in (answer.json()["detail"] if not headers else text_of(parse(answer.text)))
    assert "RuntimeError: secret" in caplog.text


def test_half_a_surrogate_pair_in_an_error_is_escaped(client, monkeypatch):
    monkeypatch.setitem(ERRORS, "half", (BadInputError("row 3 is `\ud800`"), 422))
    for path in ("errors", "api/v1/errors"):
        answer = client().get(f"/headrace/toys/{path}/half", headers=ADMIN)
        assert (answer.status_code, answer.json()) == (422, {"detail": "row 3 is `\\ud800`"})


def test_nothing_is_found_in_words(client):
    answer = client().get("/headrace/toys/nothing", headers={**ADMIN, **BROWSER})
    assert answer.status_code == 404
    assert text_of(parse(answer.text).find(".//main//p")) == NOT_FOUND


@pytest.mark.parametrize("given", ["?number=0", "?number=x", ""])
def test_a_parameter_that_is_wrong_is_named(client, given):
    answer = client().get(f"/headrace/toys/page{given}", headers=ADMIN)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("`number`: ")


def test_who_is_not_logged_in_gets_a_way_to_the_login(client):
    answer = client("/flow").get("/headrace/toys/", headers=BROWSER)
    assert answer.status_code == 401
    assert parse(answer.text).find(".//main//a").get("href") == "/flow/auth/login"

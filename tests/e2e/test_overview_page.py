"""Headrace's entry in a real Airflow: who gets in, and what is shown there. SCREENSHOTS=<folder> keeps the pictures."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser import PATIENCE, inaccessible, take_picture
from tests.html import parse, text_of

# Each with its schedule in words.
DAGS = {
    "csv_processing": "Every hour",
    "symbol_processing": "Every hour",
    "parser_tasks_create": "Every minute",
    "parser_tasks_cancel_expired": "Every minute",
    "parser_task_statuses": "As frequently as possible, but only one run at a time.",
}
expect.set_options(timeout=PATIENCE)


def test_without_a_login_there_is_nothing_but_static_files(client):
    for path in ("/headrace/", "/headrace/openapi.json", "/headrace/nothing"):
        assert client.get(path).status_code == 401
    assert client.post("/headrace/").status_code == 401
    assert client.get("/headrace/", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert client.get("/headrace/static/app.css").status_code == 200


@pytest.mark.parametrize("role", ["admin", "viewer"])
def test_every_dag_is_shown_with_its_schedule_in_words(client, token, role):
    answer = client.get("/headrace/", headers={"Authorization": f"Bearer {token(role)}", "Accept": "text/html"})
    assert answer.status_code == 200
    rows = parse(answer.text).findall(".//tbody/tr[@id]")
    shown = [[text_of(cell) for cell in row[:3]] for row in rows]
    assert shown == [[dag_id, "On", schedule] for dag_id, schedule in DAGS.items()]


def test_a_viewer_changes_nothing_and_neither_does_a_form_of_another_site(client, token):
    viewer = {"Authorization": f"Bearer {token('viewer')}"}
    assert client.post("/headrace/", headers=viewer).status_code == 403
    cookie = {"Cookie": f"_token={token('admin')}", "HX-Request": "true"}
    assert client.post("/headrace/", headers={**cookie, "Sec-Fetch-Site": "same-site"}).status_code == 403
    # There is nothing to change on the overview: who may is told so by the route that is missing.
    assert client.post("/headrace/", headers={**cookie, "Sec-Fetch-Site": "same-origin"}).status_code == 405


def test_the_entry_in_the_navigation_opens_the_overview_in_airflow_s_colours(page, tmp_path):
    for role, theme in (("admin", "light"), ("viewer", "dark")):
        shown = page(role, theme)
        refused = []
        shown.on("console", lambda message, refused=refused: refused.append(message.text))
        shown.goto("/")
        shown.get_by_role("link", name="Headrace").click()
        frame = shown.frame_locator("iframe")
        for dag_id in DAGS:
            expect(frame.get_by_role("link", name=dag_id, exact=True)).to_be_visible()
        expect(frame.locator("html")).to_have_css("color-scheme", theme)
        colour = "name => getComputedStyle(document.documentElement).getPropertyValue(name)"
        assert shown.frames[-1].evaluate(colour, "--fg") == shown.evaluate(colour, "--chakra-colors-fg") != ""
        take_picture(shown, f"overview-{theme}", tmp_path)
        assert [text for text in refused if "Content Security Policy" in text] == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_overview_is_accessible(page, theme):
    shown = page("admin", theme)
    shown.goto("/headrace/")
    expect(shown.get_by_role("link", name="csv_processing", exact=True)).to_be_visible()
    assert inaccessible(shown) == []


def test_by_keyboard_a_dag_is_opened_in_airflow_and_the_rows_that_refresh_keep_the_focus(page):
    shown = page("admin")
    shown.goto("/plugin/headrace")
    frame = shown.frame_locator("iframe")
    link = frame.get_by_role("link", name="csv_processing", exact=True)
    frame.get_by_label("Search DAGs").focus()
    for _ in ("Show", "the table", "CSV", "csv_processing"):
        shown.keyboard.press("Tab")
    with shown.expect_response(re.compile(r"/headrace/\?$")):  # the next refresh
        expect(link).to_be_focused()
    expect(link).to_be_focused()
    assert link.evaluate("link => getComputedStyle(link).outlineStyle") == "solid"
    shown.keyboard.press("Enter")
    shown.wait_for_url("**/dags/csv_processing")


def test_the_rows_are_filtered_and_airflow_s_address_says_by_what(page):
    shown = page("admin")
    shown.goto("/plugin/headrace")
    frame = shown.frame_locator("iframe")
    frame.get_by_label("Search DAGs").fill("symbol")
    expect(frame.get_by_role("link", name="csv_processing", exact=True)).to_have_count(0)
    expect(frame.get_by_role("link", name="symbol_processing", exact=True)).to_be_visible()
    expect(shown).to_have_url(re.compile(r"/plugin/headrace/headrace/\?q=symbol"))
    with shown.expect_response(re.compile(r"/headrace/\?q=symbol$")):  # the next refresh
        pass
    expect(frame.get_by_role("link", name="csv_processing", exact=True)).to_have_count(0)


def test_an_airflow_that_does_not_answer_is_said_once_and_the_rows_stay(page):
    shown = page("admin")
    shown.goto("/plugin/headrace")
    frame = shown.frame_locator("iframe")
    link = frame.get_by_role("link", name="csv_processing", exact=True)
    expect(link).to_be_visible()
    shown.route("**/headrace/?", lambda route: route.abort())
    for _ in range(2):
        with shown.expect_event("requestfailed"):
            pass
    expect(frame.locator(".toast")).to_have_text(["Airflow does not answer. This page asks again by itself."])
    expect(link).to_be_visible()
    answer = {"status": 503, "headers": {"HX-Retarget": "#toasts", "HX-Reswap": "beforeend"}, "body": "<p>later</p>"}
    shown.unroute("**/headrace/?")
    shown.route("**/headrace/?", lambda route: route.fulfill(**answer))
    expect(frame.locator("#toasts p")).to_have_text("later")
    expect(link).to_be_visible()


def test_a_login_that_ends_leads_to_the_login_and_back(page):
    shown = page("admin")
    shown.goto("/plugin/headrace")
    expect(shown.frame_locator("iframe").get_by_role("heading", name="Overview")).to_be_visible()
    shown.context.clear_cookies()
    shown.wait_for_url(re.compile(r"/auth/login\?next=.*plugin%2Fheadrace"))
    expect(shown.locator("[name=password]")).to_be_visible()

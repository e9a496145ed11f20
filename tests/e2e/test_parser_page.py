"""The page of the parser tasks in a real Airflow and a real browser, over the demo broker, sources and workers.

The shared Airflow has no schedule: what that would start is started here. SCREENSHOTS=<folder> keeps the pictures.
"""

import re
import time

import pytest
from playwright.sync_api import expect

from include.launch.embedded.environment import Home
from include.launch.embedded.processes import find_running
from tests.browser import PATIENCE, inaccessible, take_picture
from tests.e2e.test_csv_page import turn_dark
from tests.e2e.test_runs import trigger

expect.set_options(timeout=PATIENCE)
HERE = "/headrace/parser-manager"
CREATE, READ, EXPIRE = "parser_tasks_create", "parser_task_statuses", "parser_tasks_cancel_expired"
PARTS = ("Tasks", "Groups", "Sources", "Errors", "Overview")
SLOW = "demo: a feed that answers too late"
# More runs than messages come in bulks: each waits for messages and reads them.
READS = 40


@pytest.fixture(scope="module")
def fleet(headrace):
    """Statuses are read, as the schedule would have it, while the tests of this file run."""
    for _ in range(READS):
        headrace.api.trigger(READ, {})
    yield
    for run in reversed(headrace.api.unfinished_runs(READ)):
        headrace.api.drop_run(READ, run["dag_run_id"])


@pytest.fixture
def tasks(client, token):
    """The tasks as the JSON API has them."""

    def found(**query):
        answer = client.get(f"{HERE}/api/v1/task/", params=query, headers={"Authorization": f"Bearer {token('admin')}"})
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]

    return found


@pytest.fixture
def made(headrace, fleet, tasks):
    """The demo sources' first tasks are created, once their first minute has come."""
    while not tasks():
        assert trigger(headrace, CREATE)[1] == "success"
        time.sleep(0.5)


def dialog(shown):
    return shown.get_by_role("dialog")


def body(shown):
    return shown.locator("#rows tbody tr")


@pytest.mark.usefixtures("made")
def test_the_overview_shows_by_itself_what_becomes_of_the_demo_tasks(headrace, page, tasks, tmp_path):
    shown = page("admin")
    shown.goto(f"{HERE}/")
    expect(shown.locator("#backlog tbody tr")).to_have_count(4)
    expect(shown.locator("#backlog")).to_contain_text("rss_parser_tasks, read by rss_parsers")
    shown.evaluate("window.loadedOnce = true")
    expect(shown.locator("#chart .legend")).to_contain_text(re.compile(r"[3-9] done"))
    expect(shown.locator("#chart .legend")).to_contain_text(re.compile(r"[1-9] late"))
    assert shown.evaluate("window.loadedOnce")
    late = tasks(late="true")[0]
    assert (late["source_name"], late["status"], late["reason"]) == (SLOW, "cancelled", "expired")
    assert trigger(headrace, EXPIRE)[1] == "success"
    assert re.match(r"rss, latest \(group \d+\): 1 of 2 done, 1 late", headrace.telegram.messages[-1]["text"])
    take_picture(shown, "parser-home", tmp_path)
    for part in PARTS:
        link = shown.get_by_role("navigation", name="Parts of the parser tasks").get_by_role("link", name=part)
        link.click()
        expect(link).to_have_attribute("aria-current", "true")
        expect(shown.locator(".choice .badge")).to_have_text("demo")
        assert inaccessible(shown) == []
    turn_dark(shown)
    assert inaccessible(shown) == []


@pytest.mark.usefixtures("made")
def test_a_source_is_added_with_its_times_and_what_it_comes_to_is_shown(headrace, page, tmp_path):
    missing = f"{find_running(Home(headrace.home)).demos['demo-sources']}/feeds/none.xml"
    shown = page("admin")
    shown.goto(f"{HERE}/sources")
    shown.get_by_role("button", name="Add a source…").click()
    dialog(shown).get_by_label("Name").fill("demo: a wall")
    dialog(shown).get_by_label("Address").fill(missing)
    dialog(shown).get_by_role("button", name="Add, then say when").click()
    expect(dialog(shown).locator("#hint-name")).to_contain_text("has the name `demo: a wall` already")
    assert inaccessible(shown) == []
    dialog(shown).get_by_label("Name").fill("demo: a feed that is not there")
    dialog(shown).get_by_role("button", name="Add, then say when").click()
    expect(dialog(shown)).to_contain_text("When is demo: a feed that is not there read?")
    dialog(shown).get_by_label("How often").fill("sometimes")
    expect(dialog(shown).locator("#preview")).to_contain_text("schedule is `sometimes`; allowed is")
    dialog(shown).get_by_label("How often").fill("30 6 * * 1")
    expect(dialog(shown).locator("#preview")).to_contain_text("At 06:30, only on Monday (UTC)")
    expect(dialog(shown).locator("#preview time")).to_have_count(5)
    take_picture(shown, "parser-schedule", tmp_path)
    assert inaccessible(shown) == []
    dialog(shown).get_by_role("button", name="Add", exact=True).click()
    expect(dialog(shown)).to_have_count(0)

    shown.get_by_role("searchbox", name="Search sources").fill("not there")
    expect(body(shown)).to_have_count(2)
    row = body(shown).last
    expect(row).to_contain_text("At 06:30, only on Monday (UTC)")
    expect(row.locator("time").first).to_have_attribute("datetime", re.compile("T06:30:00"))
    row.get_by_role("button", name="Create a task").click()
    expect(shown.locator(".toast")).to_have_text("1 task was created.")
    expect(row.locator(".badge")).to_have_text("failed")
    row.get_by_role("switch").click()
    expect(row).to_contain_text("none while it is off")
    expect(row.get_by_role("button", name="Create a task")).to_be_disabled()
    row.locator(".badge").click()
    expect(shown.locator("#task .error").first).to_contain_text("404")
    shown.go_back()
    shown.get_by_role("searchbox", name="Search sources").fill("")
    expect(body(shown)).to_have_count(10)
    turn_dark(shown)
    take_picture(shown, "parser-sources", tmp_path)
    assert inaccessible(shown) == []


@pytest.mark.usefixtures("made")
def test_one_task_is_retried_and_cancelled_and_its_history_has_what_came_later(page, tasks, tmp_path):
    while not tasks(late="true"):
        time.sleep(0.5)
    shown = page("admin")
    shown.goto(f"{HERE}/tasks")
    shown.get_by_label("Status").select_option("Cancelled")
    shown.wait_for_url("**/tasks?*status=cancelled*")
    expect(body(shown).locator(".badge").first).to_have_text("late")
    shown.reload()
    expect(shown.get_by_label("Status")).to_have_value("cancelled")
    first = body(shown).get_by_role("link", name=SLOW).first
    first.click()
    expect(shown.locator("#task h1")).to_contain_text("late")
    history = shown.get_by_role("region", name="History").locator("tbody tr")
    expect(history).to_contain_text(["created", "queued", "in progress", "cancelled"])
    turn_dark(shown)
    take_picture(shown, "parser-task", tmp_path)
    assert inaccessible(shown) == []

    old = shown.url
    shown.get_by_role("button", name="Retry…").click()
    dialog(shown).get_by_role("button", name="Retry", exact=True).click()
    shown.wait_for_url(lambda url: url != old)
    expect(shown.locator("#retry-of")).to_have_attribute("href", re.compile(re.escape(old.rpartition("/")[2])))
    expect(history).to_contain_text(["created", "queued", "in progress"])
    shown.get_by_role("button", name="Cancel…").click()
    dialog(shown).get_by_role("button", name="Cancel", exact=True).click()
    expect(shown.locator("#task h1 .badge")).to_have_text("cancelled")
    expect(shown.locator("#task")).to_contain_text("Cancelled by a person")
    expect(history.last).to_contain_text("admin")


@pytest.mark.usefixtures("made")
def test_all_errors_are_retried_at_once_with_a_result_for_each(page, tasks, tmp_path):
    while not tasks(late="true"):
        time.sleep(0.5)
    shown = page("admin")
    shown.goto(f"{HERE}/errors")
    matching = body(shown).count()
    shown.get_by_role("button", name="Retry all that match…").click()
    expect(dialog(shown)).to_contain_text(f"{matching} task")
    assert inaccessible(shown) == []
    sent = []
    shown.on("request", lambda request: sent.append(request) if request.method == "POST" else None)
    dialog(shown).get_by_role("button", name="Retry", exact=True).dblclick()
    results = dialog(shown).locator("tbody tr")
    expect(results).to_have_count(matching)
    expect(results.last).to_contain_text(re.compile("retried as a new task|Not done: "))
    assert len(sent) == 1
    take_picture(shown, "parser-retried", tmp_path)
    assert inaccessible(shown) == []


@pytest.mark.usefixtures("made")
def test_what_a_button_comes_to_is_told_though_its_row_would_be_refreshed_meanwhile(page):
    shown = page("admin")
    shown.clock.install()
    shown.goto(f"{HERE}/sources")
    held, asked = [], []
    shown.route("**/schedules/*/create", lambda route: held.append(route))
    with shown.expect_request("**/schedules/*/create"):
        body(shown).get_by_role("button", name="Create a task").first.click()
    shown.on("request", lambda request: asked.append(request.url))
    shown.clock.run_for(6000)
    told = {"HX-Retarget": "#toasts", "HX-Reswap": "beforeend"}
    held[0].fulfill(status=409, headers=told, body="<p>later</p>")
    expect(shown.locator("#toasts p")).to_have_text("later")
    assert asked == []
    with shown.expect_request(re.compile("/sources$")):
        shown.clock.run_for(6000)


@pytest.mark.usefixtures("made")
def test_a_viewer_sees_all_and_can_change_nothing(page, tmp_path):
    shown = page("viewer", "dark")
    for path in ("/tasks", "/sources", "/errors", "/errors/messages"):
        shown.goto(HERE + path)
        expect(body(shown).first).to_be_visible()
        for button in shown.locator("main button").all():
            expect(button).to_be_disabled()
        assert inaccessible(shown) == []
    shown.goto(f"{HERE}/tasks")
    body(shown).get_by_role("link").first.click()
    expect(shown.get_by_role("button", name="Retry…")).to_be_disabled()
    expect(shown.get_by_role("button", name="Cancel…")).to_be_disabled()


@pytest.mark.usefixtures("made")
def test_by_keyboard_on_a_phone_in_airflow_s_frame_with_a_server_that_goes_away(page, tmp_path):
    shown = page("admin")
    shown.set_viewport_size({"width": 390, "height": 800})
    shown.goto("/plugin/headrace/headrace/parser-manager/sources")
    frame = shown.frame_locator("iframe")
    add = frame.get_by_role("button", name="Add a source…")
    add.focus()
    shown.keyboard.press("Enter")
    expect(frame.get_by_label("Name")).to_be_focused()
    shown.keyboard.type("demo: typed")
    for _ in ("Parser", "Address"):
        shown.keyboard.press("Tab")
    shown.keyboard.type("https://feed.example.com/")
    inner = shown.frames[-1]
    assert inner.evaluate("document.documentElement.scrollWidth <= innerWidth")
    shown.route(
        "**/parser-manager/sources",
        lambda route: route.abort() if route.request.method == "POST" else route.fallback(),
    )
    shown.keyboard.press("Enter")
    expect(frame.locator(".toast").last).to_contain_text("see whether that was done before you try again")
    expect(frame.get_by_label("Name")).to_have_value("demo: typed")
    assert inner.locator("#toasts").evaluate("toasts => toasts.matches(':popover-open')")  # above the dialog
    take_picture(shown, "parser-phone", tmp_path)
    shown.keyboard.press("Escape")
    expect(add).to_be_focused()
    expect(frame.get_by_role("dialog")).to_have_count(0)
    assert shown.locator("html").evaluate("html => html.scrollWidth <= innerWidth")

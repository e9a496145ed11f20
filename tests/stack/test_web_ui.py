"""What a person sees and does in the web UI, in a headless Chromium. SCREENSHOTS=<folder> keeps the pictures."""

import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser import PATIENCE, chromium, open_page, take_picture

RUN_PATIENCE = 300_000  # ms; a run of the schedule may be before it
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        if not found:
            pytest.fail("no browser was found: install Debian's package chromium, or run `playwright install chromium`")
        yield found


def log_in(page: Page, user: str, password: str) -> None:
    page.goto("/auth/login")
    page.locator("[name=username]").fill(user)
    page.locator("[name=password]").fill(password)
    page.get_by_role("button", name="Sign in").click()


@pytest.fixture
def page(browser, stack):
    page = open_page(browser, stack.web)
    yield page
    page.context.close()


@pytest.fixture(scope="module")
def logged_in(browser, stack):
    """The page of a user who is logged in."""
    pages = {}

    def get(user: str) -> Page:
        if user not in pages:
            pages[user] = open_page(browser, stack.web)
            log_in(pages[user], user, stack.secret(f"{user.upper()}_PASSWORD"))
            expect(pages[user].get_by_role("link", name="Dags", exact=True)).to_be_visible()
        return pages[user]

    yield get
    for page in pages.values():
        page.context.close()


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    """Takes a picture of a page that has loaded."""
    folder = tmp_path_factory.mktemp("screenshots")

    def take(page: Page, name: str) -> None:
        expect(page.locator(".chakra-skeleton:visible")).to_have_count(0)
        take_picture(page, name, folder)

    return take


def open_trigger_form(page: Page) -> None:
    page.goto("/dags")
    page.get_by_role("link", name="csv_processing", exact=True).click()
    expect(page.get_by_role("heading", name="csv_processing")).to_be_visible()
    page.get_by_role("button", name="Trigger Dag").click()
    expect(page.get_by_role("heading", name="Trigger Dag - csv_processing")).to_be_visible()


@pytest.fixture(scope="module")
def run_page(stack, logged_in, picture):
    """The page of a run that was started by the form, with `limit` changed to 5."""
    stack.demo.behave()
    page = logged_in("admin")
    open_trigger_form(page)
    page.locator("[name=element_limit]").fill("5")
    expect(page.locator("[name=element_rate_limit]")).to_have_value("")
    picture(page, "stack-trigger")
    page.get_by_test_id("trigger-dag-submit").click()
    page.wait_for_url("**/dags/csv_processing/runs/manual__*")
    return page.url


def state_of(page: Page, heading: str):
    """The state beside a heading."""
    beside = page.locator("div", has=page.get_by_role("heading", name=heading)).filter(
        has=page.get_by_test_id("state-badge")
    )
    return beside.last.get_by_test_id("state-badge")


def test_somebody_without_a_login_is_sent_to_the_login_page(page):
    page.goto("/dags/csv_processing")
    expect(page).to_have_url(re.compile("/auth/login"))
    expect(page.locator("[name=password]")).to_be_visible()


def test_a_wrong_password_is_refused_with_a_message(page):
    log_in(page, "admin", "wrong")
    expect(page.get_by_text("Invalid credentials")).to_be_visible()
    expect(page).to_have_url(re.compile("/auth/login"))


def test_the_list_shows_both_dags_and_no_import_error(logged_in, picture):
    page = logged_in("admin")
    page.goto("/dags?tags=csv")
    expect(page.get_by_role("heading", name="2 Dags")).to_be_visible()
    for dag_id in ("csv_processing", "symbol_processing"):
        expect(page.get_by_role("link", name=dag_id, exact=True)).to_be_visible()
    expect(page.get_by_text(re.compile("import error", re.IGNORECASE))).to_have_count(0)
    picture(page, "stack-dags")


def test_a_run_of_the_trigger_form_is_followed_to_its_success(logged_in, run_page, picture):
    page = logged_in("admin")
    page.goto(run_page)
    expect(state_of(page, "manual__")).to_have_text("Success", timeout=RUN_PATIENCE)
    page.reload()
    expect(page.get_by_role("heading", name="9 Task Instances")).to_be_visible()
    in_grid = page.locator(f"a[href='{urlsplit(run_page).path}/tasks/call_api/mapped']")
    expect(in_grid.locator("svg")).to_be_visible()
    picture(page, "stack-run")


def test_a_run_limited_by_the_form_shows_a_mapped_task_for_each_row(logged_in, run_page):
    page = logged_in("admin")
    page.goto(f"{run_page}/tasks/call_api/mapped")
    expect(state_of(page, "call_api [5]")).to_have_text("Success", timeout=RUN_PATIENCE)
    for key in ("004", "008", "012", "024", "032"):
        expect(page.get_by_role("link", name=key, exact=True)).to_be_visible()


def test_a_viewer_is_refused_by_the_trigger_form(logged_in):
    page = logged_in("viewer")
    open_trigger_form(page)
    with page.expect_response(lambda response: response.url.endswith("/dagRuns")) as answer:
        page.get_by_test_id("trigger-dag-submit").click()
    assert answer.value.status == 403
    expect(page.get_by_text("You do not have permission to perform this action").first).to_be_visible()

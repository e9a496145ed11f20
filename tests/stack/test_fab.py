"""The pages with FAB as Airflow's auth manager: an api-server of its own beside the stack's, on the same databases."""

import json
import re

import httpx
import pytest
from playwright.sync_api import expect

from include.launch.embedded.processes import free_port
from tests.browser import PATIENCE, chromium, open_page
from tests.stack.conftest import NAME, run, wait_until

FAB = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
PAGE = "/headrace/csv/"
RUN_PATIENCE = 300_000  # ms; the run of another test may be before it
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def web(stack):
    """The address of an api-server with FAB."""
    port, name = free_port(), f"{NAME}-fab"
    address = f"http://127.0.0.1:{port}"
    settings = {"AIRFLOW__CORE__AUTH_MANAGER": FAB, "AIRFLOW__API__BASE_URL": address}
    given = [part for variable, value in settings.items() for part in ("--env", f"{variable}={value}")]
    stack.compose(
        *("run", "--detach", "--rm", "--no-deps", "--name", name, "--publish", f"127.0.0.1:{port}:8080"),
        *given,
        "api-server",
    )

    def answers() -> bool:
        try:
            return httpx.get(f"{address}/api/v2/monitor/health", timeout=5).is_success
        except httpx.HTTPError:
            return False

    wait_until(answers, "the start of the api-server with FAB")
    yield address
    run(["docker", "rm", "--force", name])


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        assert found, "no browser was found: install Debian's package chromium, or run `playwright install chromium`"
        yield found


@pytest.fixture
def page(browser, web, stack):
    """The CSV page of a user who was sent to the login by it, and back."""
    opened = []

    def get(user: str):
        page = open_page(browser, web)
        opened.append(page)
        page.goto(PAGE)
        expect(page).to_have_url(re.compile("/auth/login/.*next="))
        page.locator("[name=username]").fill(user)
        page.locator("[name=password]").fill(stack.secret(f"{user.upper()}_PASSWORD"))
        page.locator("[type=submit]").click()
        page.wait_for_url(f"**{PAGE}")
        return page

    yield get
    for page in opened:
        page.context.close()


def test_an_admin_of_fab_uploads_starts_follows_and_downloads(stack, page, tmp_path):
    stack.demo.behave()
    path = tmp_path / "in.csv"
    path.write_text("id,name\n1,Ann\n2,Ben\n")
    shown = page("admin")
    shown.get_by_label("A CSV file").set_input_files(path)
    shown.get_by_role("button", name="Upload").click()
    shown.wait_for_url("**/csv/new?upload=*")
    shown.get_by_label("API address").fill("http://demo-api:8090/echo")
    shown.get_by_role("button", name="Start").click()
    expect(shown.locator("#run h1 .badge")).to_have_text("success", timeout=RUN_PATIENCE)
    expect(shown.locator("#run")).to_contain_text(re.compile(r"Started by\s*admin"))
    with shown.expect_download() as download:
        shown.get_by_role("link", name="Output").click()
    assert len(json.loads(download.value.path().read_bytes())) == 2


def test_a_viewer_of_fab_sees_everything_and_changes_nothing(page):
    shown = page("viewer")
    expect(shown.get_by_role("button", name="Upload")).to_be_disabled()
    sent = """async () => (await fetch('/headrace/csv/api/v1/runs', {
        method: 'POST',
        headers: {'Content-Type': 'application/json', 'HX-Request': 'true'},
        body: '{"dag_id": "csv_processing"}',
    })).status"""
    assert shown.evaluate(sent) == 403
    shown.goto("/")
    expect(shown.get_by_role("link", name="Headrace")).to_be_visible()

"""A second api-server over the same Airflow, behind a proxy with a prefix: what holds there, and when it restarts."""

import json
import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import expect

from include.launch.embedded.environment import USER, Home, airflow_environment
from include.launch.embedded.processes import find_running, free_port
from tests.browser import PATIENCE, open_page
from tests.e2e.conftest import PROJECT, TOKEN
from tests.e2e.test_csv_page import state
from tests.e2e.test_runs import write_csv
from tests.stand_ins.proxy import ProxyStandIn

expect.set_options(timeout=PATIENCE)
PREFIX = "/some/prefix"


@dataclass
class SecondServer:
    """An api-server of its own, with the shared one's home and settings but for its address."""

    home: Home
    port: int
    environment: dict[str, str]
    process: subprocess.Popen | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "airflow", "api-server", "--port", str(self.port)]
        with (self.home.logs / "second-api-server.log").open("ab") as output:
            self.process = subprocess.Popen(
                command, env=self.environment, cwd=PROJECT, stdout=output, stderr=output, stdin=subprocess.DEVNULL
            )

    def wait(self) -> None:
        """Until it answers."""
        while True:
            assert self.process.poll() is None, "the second api-server has ended"
            with suppress(httpx.TransportError):
                httpx.get(f"http://127.0.0.1:{self.port}{PREFIX}/api/v2/version", trust_env=False)
                return
            time.sleep(0.1)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def proxy():
    with ProxyStandIn(PREFIX, free_port()) as started:
        yield started


@pytest.fixture(scope="module")
def second(headrace, proxy):
    home = Home(headrace.home)
    running = find_running(home)
    environment = {
        **airflow_environment(home, running.port, {"HEADRACE_DEMO_API": running.demos["demo-api"]}, schedule=True),
        "HEADRACE_STORAGE": str(headrace.storage),
        "HEADRACE_METRICS_TOKEN": TOKEN,
        "AIRFLOW__API__BASE_URL": proxy.web,
    }
    server = SecondServer(home, proxy.port, environment)
    server.start()
    server.wait()
    yield server
    server.kill()


@pytest.fixture
def behind_proxy(browser, second, proxy):
    """A page behind the proxy that nobody is logged in to."""
    page = open_page(browser, urlsplit(proxy.web)._replace(path="").geturl())
    yield page
    page.context.close()


def log_in(page, home):
    page.locator("[name=username]").fill(USER)
    page.locator("[name=password]").fill(Home(home).password())
    page.get_by_role("button", name="Sign in").click()


def frame_of(page):
    return page.frame_locator("iframe")


def test_the_page_below_a_prefix_and_what_one_server_began_another_goes_on_with(
    headrace, proxy, behind_proxy, client, tmp_path
):
    headrace.demo.behave(latency=0.1)
    shown, frame, missing = behind_proxy, frame_of(behind_proxy), []
    shown.on("response", lambda answer: missing.append(answer.url) if answer.status == 404 else None)
    shown.goto(f"{PREFIX}/plugin/headrace{PREFIX}/headrace/csv/")
    log_in(shown, headrace.home)
    frame.get_by_label("A CSV file").set_input_files(write_csv(tmp_path / "two.csv", range(300)))
    frame.get_by_role("button", name="Upload").click()
    frame.get_by_label("API address").fill(f"{headrace.demo.url}/echo")
    frame.get_by_label("Only the first rows").fill("2")
    frame.get_by_label("Rate limit").fill("none")
    frame.get_by_role("button", name="Start").click()
    expect(frame.locator("#run h1 .badge")).to_have_text("success")
    with shown.expect_download() as download:
        frame.get_by_role("link", name="Output").click()
    assert len(json.loads(download.value.path().read_bytes())) == 2
    frame.get_by_role("link", name="The run in Airflow").click()
    shown.wait_for_url(re.compile(f"{PREFIX}/dags/csv_processing/runs/manual"))

    token = next(cookie["value"] for cookie in shown.context.cookies() if cookie["name"] == "_token")
    other = {"Authorization": f"Bearer {token}"}
    [upload] = (headrace.storage / "uploads").glob("two-*.csv")
    assert client.get(f"/headrace/csv/new?upload={upload.name}", headers=other).status_code == 200
    conf = {"source": f"uploads/{upload.name}", "api_url": f"{headrace.demo.url}/echo", "rate_limit": "10/second"}
    wanted = {"dag_id": "csv_processing", "conf": {**conf, "output": str(tmp_path / "out.json")}}
    run_id = client.post("/headrace/csv/api/v1/runs", json=wanted, headers=other).json()["run_id"]
    shown.goto(f"{PREFIX}/plugin/headrace{PREFIX}/headrace/csv/runs/csv_processing/{run_id}")
    expect(frame.locator("#run")).to_contain_text(re.compile(r"[1-9]\d* of 300 rows"))
    shown.context.clear_cookies()
    shown.wait_for_url(re.compile(rf"{PREFIX}/auth/login\?next=.*{run_id[:8]}"))
    log_in(shown, headrace.home)
    frame.get_by_role("button", name="Stop").click()
    frame.get_by_role("dialog").get_by_role("button", name="Stop").click()
    expect(frame.locator("#run h1 .badge")).to_have_text("failed")
    expect(frame.locator("#run")).to_contain_text("stopped by admin")
    found = client.get(f"/headrace/csv/api/v1/runs/csv_processing/{run_id}", headers=other).json()
    assert found["state"] == "failed"
    assert [url for url in missing if "/headrace/" in url] == []
    assert [path for path in proxy.paths if "favicon" not in path] == []


def test_a_server_that_restarts_costs_a_page_nothing_but_a_sentence(
    headrace, second, proxy, behind_proxy, token, tmp_path
):
    headrace.demo.behave(latency=0.1)
    uploads = headrace.storage / "uploads"
    shown = behind_proxy
    shown.context.add_cookies([{"name": "_token", "value": token("admin"), "url": proxy.web}])
    form, upload = shown.context.new_page(), shown.context.new_page()
    form.goto(f"{PREFIX}/headrace/csv/")
    form.get_by_label("A CSV file").set_input_files(write_csv(tmp_path / "few.csv", range(2)))
    form.get_by_role("button", name="Upload").click()
    form.get_by_label("API address").fill(f"{headrace.demo.url}/echo")
    source = write_csv(tmp_path / "in.csv", range(150))
    conf = {"source": source, "output": str(tmp_path / "o.json"), "api_url": f"{headrace.demo.url}/echo"}
    run_id = headrace.api.trigger("csv_processing", {**conf, "rate_limit": "8/second"})
    upload.goto(f"{PREFIX}/headrace/csv/")
    (tmp_path / "large.csv").write_text("id\n" + "".join(f"{number}\n" for number in range(500_000)))
    upload.get_by_label("A CSV file").set_input_files(tmp_path / "large.csv")
    shown.goto(f"{PREFIX}/headrace/csv/runs/csv_processing/{run_id}")
    expect(shown.locator("#run")).to_contain_text(re.compile(r"[1-9]\d* of 150 rows"))
    proxy.pause, passed = 0.1, proxy.passed
    upload.get_by_role("button", name="Upload").click()
    while proxy.passed - passed < 2**20:
        time.sleep(0.05)

    second.kill()
    expect(shown.locator(".toast")).to_have_text("Airflow does not answer. This page asks again by itself.")
    # Which one depends on whether the browser reads the proxy's answer or only sees the connection's end.
    expect(upload.get_by_role("alert")).to_have_text(re.compile(r"does not answer \(502\)|The upload was broken off"))
    form.get_by_role("button", name="Start").click()
    expect(form.locator(".toast", has_text="see whether that was done")).to_be_visible()
    [left] = uploads.glob("headrace-*.part")
    os.utime(left, (0, 0))  # a day is over

    proxy.pause = 0.0
    second.start()
    second.wait()
    upload.get_by_role("button", name="Upload").click()
    upload.wait_for_url("**/csv/new?upload=large-*")
    assert list(uploads.glob("headrace-*.part")) == []
    expect(state(shown)).to_have_text("success")
    form.get_by_label("Rate limit").fill("none")
    form.get_by_role("button", name="Start").click()
    expect(state(form)).to_have_text("success")
    assert headrace.demo.stats()["calls"] == 152

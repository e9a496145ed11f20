"""The CSV page in a real Airflow and a real browser. SCREENSHOTS=<folder> keeps the pictures."""

import csv
import io
import json
import re

import pytest
from playwright.sync_api import expect

from tests.browser import PATIENCE, inaccessible, take_picture
from tests.e2e.test_runs import write_csv

expect.set_options(timeout=PATIENCE)
ROWS = 40
ENDED = re.compile("success|failed")


@pytest.fixture
def clients(tmp_path):
    """A file as a person has it: in cp1251, its key in the second column, one key twice."""
    path = tmp_path / "Клиенты 2026.csv"
    lines = ["имя;код", *(f"Анна {number};{number}" for number in range(ROWS)), "Пётр;7"]
    path.write_bytes("\r\n".join(lines).encode("cp1251"))
    return path


def upload(page, path):
    page.goto("/headrace/csv/")
    page.get_by_label("A CSV file").set_input_files(path)
    page.get_by_role("button", name="Upload").click()
    page.wait_for_url("**/csv/new?upload=*")


def saved(page, name):
    """What a button downloads."""
    with page.expect_download() as download:
        page.get_by_role("link", name=name).click()
    return download.value.path().read_bytes()


def turn_dark(page):
    """As if it was picked in another tab."""
    page.evaluate("localStorage.setItem('theme', 'dark'); dispatchEvent(new Event('storage'))")
    expect(page.locator("html")).to_have_css("color-scheme", "dark")


def state(page):
    return page.locator("#run h1 .badge")


def test_a_file_is_uploaded_read_tried_called_and_what_failed_is_called_again(headrace, page, clients, tmp_path):
    shown = page("admin")
    upload(shown, clients)
    preview = shown.locator("#preview")
    expect(preview).to_contain_text("cp1251")
    expect(preview).to_contain_text("semicolon")
    shown.get_by_label("Key column").select_option("код")
    expect(preview).to_contain_text("Line 42: the key `7` was seen in row 8")
    take_picture(shown, "csv-upload", tmp_path)
    assert inaccessible(shown) == []

    shown.get_by_label("API address").fill("nonsense")
    shown.get_by_role("button", name="Start").click()
    expect(shown.locator("#hint-api_url")).to_contain_text("`nonsense` (from API address); allowed is")
    shown.get_by_label("API address").fill(f"{headrace.demo.url}/echo")
    shown.get_by_role("button", name="Dry run").click()
    expect(state(shown)).to_have_text("success")
    expect(shown.locator("#run")).to_contain_text("Dry run, nothing was called: 41 rows")
    assert headrace.demo.stats()["calls"] == 0

    headrace.demo.behave(latency=0.3, faults=[{"fault": "status", "status": 404, "keys": ["3", "5"]}])
    shown.go_back()
    shown.get_by_label("Key column").select_option("код")
    shown.get_by_label("API address").fill(f"{headrace.demo.url}/echo")
    shown.get_by_label("Rate limit").fill("10/second")
    shown.get_by_role("button", name="Start").click()
    expect(state(shown)).to_have_text("running")
    expect(shown.locator("#run")).to_contain_text(re.compile(r"[1-9]\d* of 40 rows"))
    take_picture(shown, "csv-running", tmp_path)
    assert inaccessible(shown) == []
    expect(state(shown)).to_have_text("success")
    expect(shown.locator(".counts")).to_have_text(re.compile(r"Rows\s*41\s*Ok\s*38\s*Failed\s*2\s*Skipped\s*1"))
    turn_dark(shown)
    take_picture(shown, "csv-failed-rows", tmp_path)
    assert inaccessible(shown) == []
    rows = list(csv.DictReader(io.StringIO(saved(shown, "errors.csv").decode("utf-8-sig")), delimiter=","))
    assert sorted((row["код"], row["status"]) for row in rows) == [("3", "failed"), ("5", "failed"), ("7", "skipped")]
    assert len(json.loads(saved(shown, "Output"))) == 38
    assert json.loads(saved(shown, "Manifest"))["state"] == "success"

    headrace.demo.behave()
    first = shown.url
    shown.get_by_role("button", name="Call only the 2 rows without an answer").click()
    dialog = shown.get_by_role("dialog")
    expect(dialog).to_contain_text("2 calls, more where one is retried")
    take_picture(shown, "csv-redrive", tmp_path)
    assert inaccessible(shown) == []
    dialog.get_by_role("button", name="Start").click()
    shown.wait_for_url(lambda url: url != first)
    expect(state(shown)).to_have_text("success")
    assert headrace.demo.stats()["by_key"] == {"3": 1, "5": 1}
    expect(shown.get_by_role("button", name="Call only")).to_have_count(0)
    assert len(json.loads(saved(shown, "Output"))) == 40


def test_a_run_is_stopped_and_says_by_whom_and_a_second_one_waits_for_it(headrace, page, tmp_path):
    headrace.demo.behave(latency=0.2)
    source = write_csv(tmp_path / "in.csv", range(400))
    conf = {"source": source, "output": str(tmp_path / "o.json"), "api_url": f"{headrace.demo.url}/echo"}
    run_id = headrace.api.trigger("csv_processing", {**conf, "rate_limit": "20/second"})
    second = headrace.api.trigger("csv_processing", {**conf, "limit": 1, "rate_limit": "none"})
    shown, other = page("admin"), page("viewer")
    # As Airflow keeps the zone that a person picks.
    other.context.add_init_script("localStorage.setItem('timezone', '\"Asia/Kathmandu\"')")
    shown.goto(f"/headrace/csv/runs/csv_processing/{run_id}")
    other.goto(f"/headrace/csv/runs/csv_processing/{second}")
    expect(other.locator("#run")).to_contain_text("Queued: it begins when the run of")
    expect(other.get_by_role("button", name="Stop")).to_be_disabled()
    with other.expect_response(re.compile("/runs/csv_processing/manual")):  # the next refresh
        pass
    begun = other.locator("#run .facts time")
    expect(begun).to_have_text(re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d UTC\+5:45$"))
    assert re.fullmatch(r"[-\d]{10} [:\d]{8} UTC", begun.get_attribute("title"))
    take_picture(other, "csv-queued", tmp_path)
    assert inaccessible(other) == []
    expect(shown.locator("#run")).to_contain_text(re.compile(r"[1-9]\d* of 400 rows"))
    other.goto(shown.url)
    expect(other.get_by_role("button", name="Stop")).to_be_disabled()
    take_picture(other, "csv-viewer", tmp_path)
    other.goto(f"/headrace/csv/runs/csv_processing/{second}")
    shown.get_by_role("button", name="Stop").click()
    shown.get_by_role("dialog").get_by_role("button", name="Stop").click()
    expect(state(shown)).to_have_text("failed")
    expect(shown.locator("#run")).to_contain_text("stopped by admin")
    assert headrace.demo.stats()["calls"] < 400
    expect(state(other)).to_have_text("success")


def test_a_file_that_is_no_csv_gets_a_sentence_at_the_form_and_nothing_is_kept(headrace, page, tmp_path):
    shown = page("admin", "dark")
    path = tmp_path / "book.xlsx.csv"
    path.write_bytes(b"PK\x03\x04" + bytes(100))
    shown.goto("/headrace/csv/")
    shown.get_by_label("A CSV file").set_input_files(path)
    shown.get_by_role("button", name="Upload").click()
    expect(shown.get_by_role("alert")).to_contain_text("Excel")
    assert not list((headrace.storage / "uploads").glob("*book*"))
    take_picture(shown, "csv-refused", tmp_path)
    assert inaccessible(shown) == []


def test_by_keyboard_on_a_phone_in_airflow_s_frame(headrace, page, tmp_path):
    headrace.demo.behave()
    shown = page("admin")
    shown.set_viewport_size({"width": 390, "height": 800})
    shown.goto("/plugin/headrace/headrace/csv/")
    frame = shown.frame_locator("iframe")
    frame.get_by_label("A CSV file").set_input_files(write_csv(tmp_path / "in.csv", range(3)))
    frame.get_by_role("button", name="Upload").focus()
    shown.keyboard.press("Enter")
    frame.get_by_label("API address").focus()
    shown.keyboard.type(f"{headrace.demo.url}/echo")
    shown.keyboard.press("Tab")
    shown.keyboard.type("none")  # the rate limit
    inner = shown.frames[-1]
    assert inner.evaluate("document.documentElement.scrollWidth <= innerWidth")
    take_picture(shown, "csv-phone", tmp_path)
    shown.keyboard.press("Enter")
    expect(frame.locator("#run h1 .badge")).to_have_text("success")
    expect(shown).to_have_url(re.compile("/plugin/headrace/headrace/csv/runs/csv_processing/manual"))
    assert headrace.demo.stats()["by_key"] == {"0": 1, "1": 1, "2": 1}

"""The CSV page and its JSON: what people see and what is done, over a storage root and an Airflow that is made up."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from include.common.errors import BadInputError, TransientError
from include.common.files import write_json
from include.enrichment.api import build_app
from include.enrichment.follow import ChunkTask
from include.enrichment.history import RunCounts
from include.enrichment.models import Chunk
from include.enrichment.preview import preview
from include.enrichment.report import Report
from include.enrichment.run import Plan, RunFolder, Source
from include.enrichment.service import Service
from include.web.pages import Tab
from include.web.runs import DagRun
from tests.html import parse, text_of
from tests.unit.web.conftest import ADMIN, OWN_FORM, VIEWER, access, served  # noqa: F401 (fixtures)

TAB = Tab("CSV", "/csv")
AT = datetime(2026, 11, 26, 13, 5, tzinfo=UTC)
ID = "manual__2026-11-26T13:05:00+00:00"
AT_RUN = f"/headrace/csv/runs/csv_processing/{ID}"
CSV = "id;имя\n1;Анна\n2;Пётр\n2;Вера\n3\n".encode("cp1251")
PARAMS = {
    "source": {"value": "data/input.csv", "description": "the file"},
    "key": {"value": "id", "description": "the key"},
    "limit": {"value": None, "description": "how many rows"},
    "api_url": {"value": None, "description": "the address"},
    "rate_limit": {"value": None, "description": "the rate"},
    "output": {"value": "output.json", "description": "the output"},
    "max_calls": {"value": None, "description": "the budget"},
    "encoding": {"value": None, "description": "the encoding"},
    "trim_keys": {"value": False, "description": "trim"},
    "dry_run": {"value": False, "description": "dry"},
    "retry_failed_of": {"value": None, "description": "redrive"},
}
HTMX = {**ADMIN, "hx-request": "true"}


class MadeUp:
    """An Airflow that keeps what it is told."""

    def __init__(self):
        self.runs, self.tasks, self.triggered, self.failed = [], [], [], []
        self.is_switched_on, self.error = True, None

    def list_runs(self, dag_ids, states, first, most):
        found = [run for run in self.runs if run.dag_id in dag_ids and (not states or run.state in states)]
        return found[first : first + most], len(found)

    def find_run(self, dag_id, run_id):
        return next((run for run in self.runs if (run.dag_id, run.run_id) == (dag_id, run_id)), None)

    def running(self, dag_id):
        return next((run for run in self.runs if run.dag_id == dag_id and run.state == "running"), None)

    def is_on(self, dag_id):
        return self.is_switched_on

    def is_ended(self, dag_id, run_id):
        return run_id in self.failed

    def calls(self, dag_id, run_id):
        return "csv_api", self.tasks

    async def params(self, request, dag_id):
        return PARAMS, self.is_switched_on

    async def trigger(self, request, dag_id, conf):
        if self.error:
            raise self.error
        self.triggered.append((dag_id, conf))
        return ID

    async def fail(self, request, dag_id, run_id):
        self.failed.append(run_id)


@pytest.fixture
def airflow():
    return MadeUp()


@pytest.fixture
def counts():
    return {}


@pytest.fixture
def service(airflow, counts, tmp_path):
    def kept(dag_id, run_ids):
        if isinstance(counts.get("error"), Exception):
            raise counts["error"]
        return {run_id: counts[run_id] for run_id in run_ids if run_id in counts}

    return Service(
        dag_ids=["csv_processing", "symbol_processing"],
        airflow=airflow,
        storage=lambda: tmp_path,
        most_upload_bytes=lambda: 1024 * 1024,
        counts=kept,
        used=lambda dag_id, run_id: 7,
    )


@pytest.fixture
def client(access, served, service):  # noqa: F811
    return served(csv=build_app(TAB, (TAB,), access, service))


def run(state="running", run_id=ID, began=AT, who="ada", **given):
    ended = began + timedelta(seconds=61) if state in ("success", "failed") else None
    return DagRun("csv_processing", run_id, state, AT, began, ended, who, given)


def uploaded(client, content=CSV, filename="Клиенты.csv", headers=ADMIN, **params):
    params["filename"] = filename
    return client.post("/headrace/csv/api/v1/uploads", params=params, content=content, headers=headers)


def page(client, path, headers=ADMIN, status=200):
    answer = client.get(path, headers=headers)
    assert answer.status_code == status, answer.text
    return parse(answer.text)


def facts(element):
    return {text_of(one.find("dt")): text_of(one.find("dd")) for one in element.findall(".//dl/div")}


def planned(tmp_path, chunks=((100, 0), (42, 100)), run_id=ID, **values):
    """The folder of a run whose plan is made."""
    folder = RunFolder(tmp_path, "csv_processing", run_id)
    folder.create()
    made = tuple(
        Chunk(index, f"rows {first + 1}-{first + rows}", first + 1, first + rows, rows, 0, 0)
        for index, (rows, first) in enumerate(chunks)
    )
    total = sum(rows for rows, _ in chunks)
    defaults = {"rate_limit": "2/minute", "limit": None, "dry_run": False, "rows": total, "to_call": total}
    source = Source("uploads/a.csv", 1, "0", "utf-8", ",", ("id", "name"))
    plan = Plan(source, "/out.json", "id", api="https://api.example.com", chunks=made, **{**defaults, **values})
    folder.write_plan(plan)
    return folder


def ended(folder, state="success", callable=0, **values):
    """What the end of a run leaves."""
    counts = {"rows": 142, "ok": 142 - callable, "failed": callable, "skipped": 0}
    report = Report("csv_processing", folder.run_id, state, 61.0, callable=callable, **values)
    write_json(folder.report, {**vars(report), "counts": counts})
    folder.records.write_bytes(b'{"id":"1"}\n{"id":"2"}\n')
    folder.errors.write_bytes("id,error\n3,нет\n".encode("utf-8-sig"))
    write_json(folder.manifest, {"state": state})


# The upload, and how it is read.


def test_a_file_is_stored_and_told_of_as_it_is_read(client, tmp_path):
    answer = uploaded(client)
    assert answer.status_code == 201
    found = answer.json()
    assert (tmp_path / found["source"]).read_bytes() == CSV
    assert found["name"].startswith("Клиенты-")
    seen = found["preview"]
    assert (seen["encoding"], seen["delimiter"], seen["columns"]) == ("cp1251", ";", ["id", "имя"])
    assert seen["bad_count"] == 1
    again = client.get(f"/headrace/csv/api/v1/uploads/{found['name']}", params={"key": "id"}, headers=VIEWER).json()
    assert [(row["line"], row["reason"]) for row in again["preview"]["bad"]] == [
        (4, "the key `2` was seen in row 2"),
        (5, "1 field, the header has 2"),
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"id,name\n", "header and no rows"),
        (b"PK\x03\x04" + b"x" * 99, "Excel"),
        (b'[\n{"a": 1},\n{"a": 2}\n]', "JSON"),
        (b"\xef\xbb\xbf<!DOCTYPE html>\n<p>hello\n", "XML"),
        (",".join(f"c{number}" for number in range(100_000)).encode() + b"\n1\n", "100000 columns"),
        (b"x" * 2**21, "1 MB"),
    ],
)
def test_what_is_no_csv_gets_a_sentence_and_is_not_kept(client, tmp_path, content, said):
    answer = uploaded(client, content, "<b>../x.csv", HTMX)  # as the page sends it
    assert answer.status_code == 422
    assert said in answer.json()["detail"]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", ["..%2Fx", "nothing.csv", "%2Fetc%2Fpasswd"])
def test_only_uploads_are_shown(client, name):
    answer = client.get(f"/headrace/csv/new?upload={name}", headers=ADMIN)
    assert answer.status_code == 422


def test_a_viewer_uploads_nothing_and_starts_nothing(client, airflow):
    assert uploaded(client, headers=VIEWER).status_code == 403
    assert client.post("/headrace/csv/start", headers=VIEWER).status_code == 403
    name = uploaded(client).json()["name"]
    shown = page(client, f"/headrace/csv/new?upload={name}", VIEWER)
    assert all("disabled" in button.attrib for button in shown.findall(".//form[@id='start']//button"))
    assert "disabled" in page(client, "/headrace/csv/", VIEWER).find(".//input[@type='file']").attrib
    assert airflow.triggered == []


# The form.


def start(client, **given):
    name = uploaded(client).json()["name"]
    data = {"upload": name, "dag_id": "csv_processing", "key": "id", "output": "results/x.json", **given}
    return client.post("/headrace/csv/start", data=data, headers=OWN_FORM), name


def test_the_form_has_the_declared_fields_with_the_files_columns_and_an_output_of_its_own(client):
    name = uploaded(client).json()["name"]
    shown = page(client, f"/headrace/csv/new?upload={name}")
    form = shown.find(".//form[@id='start']")
    labels = [text_of(label) for label in form.findall(".//label")]
    assert labels[:3] == ["Key column", "Only the first rows", "API address"]
    assert [text_of(option) for option in form.findall(".//select[@id='field-key']/option")] == ["id", "имя"]
    assert form.find(".//input[@id='field-output']").get("value") == "results/Клиенты.json"
    assert "Line 4: the key `2` was seen in row 2" in text_of(shown.find(".//section[@id='preview']"))
    assert {"source", "dry_run", "retry_failed_of"}.isdisjoint(
        element.get("name") for element in form.iter() if element.get("type") != "hidden" and element.tag == "input"
    )


def test_the_file_is_looked_at_once_for_its_form_also_where_the_dags_own_key_is_no_column(client, monkeypatch):
    name = uploaded(client, "код;имя\n7;Анна\n7;Пётр\n".encode()).json()["name"]
    looks = []
    monkeypatch.setattr(
        "include.enrichment.service.preview", lambda *given, **named: looks.append(named) or preview(*given, **named)
    )
    shown = page(client, f"/headrace/csv/new?upload={name}")
    assert "Line 3: the key `7` was seen in row 1" in text_of(shown.find(".//section[@id='preview']"))
    assert shown.find(".//select[@id='field-key']/option[@selected]").text == "код"
    assert len(looks) == 1


def test_a_dag_that_is_switched_off_is_said(client, airflow):
    airflow.is_switched_on = False
    name = uploaded(client).json()["name"]
    assert "switched off" in text_of(page(client, f"/headrace/csv/new?upload={name}"))


def test_a_run_is_given_only_what_was_changed_and_its_page_opens(client, airflow):
    answer, name = start(client, limit="10", rate_limit="50/second", trim_keys="on", dry_run="on")
    assert answer.status_code == 204
    assert answer.headers["hx-redirect"].startswith("/headrace/csv/runs/csv_processing/manual__")
    assert airflow.triggered == [
        (
            "csv_processing",
            {
                "source": f"uploads/{name}",
                "output": "results/x.json",
                "limit": 10,
                "rate_limit": "50/second",
                "trim_keys": True,
                "dry_run": True,
            },
        )
    ]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("rate_limit", "fast", "Rate limit is `fast`; allowed is"),
        ("limit", "<b>", "Only the first rows is `<b>`"),
        ("key", "ghost", "no column of this file"),
        ("encoding", "klingon", "klingon"),
        ("api_url", "ftp://x", "API address"),
        ("output", " ", "Output file is empty"),
        ("output", "{symbol}.json", "no column `symbol`"),
        ("api_url", "https://x/{ghost}", "no column `ghost`"),
    ],
)
def test_an_error_stands_at_its_field_and_nothing_is_started(client, airflow, field, value, said):
    answer, _ = start(client, **{field: value})
    assert answer.status_code == 422
    form = parse(answer.text)
    assert said in text_of(form.find(f".//*[@id='hint-{field}']"))
    wrong = form.find(f".//*[@id='field-{field}']")
    assert wrong.get("aria-invalid") == "true"
    assert airflow.triggered == []


def test_a_column_is_chosen_whatever_blanks_it_has(client):
    """A browser takes the text of an option for its value with the blanks made one."""
    name = uploaded(client, b'"a  b","c\nd"\n1,2\n').json()["name"]
    options = page(client, f"/headrace/csv/new?upload={name}").findall(".//select[@id='field-key']/option")
    assert [option.get("value") for option in options] == ["a  b", "c\nd"]


@pytest.mark.parametrize(
    "encoding",
    ["klingon", "base64", "\0", "x" * 5000, "undefined"],
    ids=["unknown", "no text", "NUL", "long", "useless"],
)
def test_an_encoding_that_is_none_is_the_persons_business(client, encoding):
    answer = uploaded(client, encoding=encoding)
    assert answer.status_code == 422
    assert len(answer.text) < 300


@pytest.mark.parametrize(
    ("conf", "said"),
    [
        ('{"limit": NaN}', "no word for"),
        ('{"key": "\\ud800"}', "no word for"),
        (f'{{"key": "{"x" * 70_000}"}}', "allowed are 65536"),
    ],
    ids=["NaN", "half a surrogate pair", "much"],
)
def test_values_that_airflow_could_not_keep_are_refused(client, airflow, conf, said):
    content, headers = f'{{"dag_id": "csv_processing", "conf": {conf}}}', {**ADMIN, "content-type": "application/json"}
    answer = client.post("/headrace/csv/api/v1/runs", content=content, headers=headers)
    assert (answer.status_code, airflow.triggered) == (422, [])
    assert said in answer.json()["detail"]


def test_what_airflow_refuses_is_a_toast(client, airflow):
    airflow.error = BadInputError("Airflow refused that: output is wrong")
    answer, _ = start(client)
    assert answer.status_code == 422
    assert answer.headers["hx-retarget"] == "#toasts"
    assert "output is wrong" in answer.text


def test_the_preview_follows_the_form(client):
    name = uploaded(client).json()["name"]
    asked = "/headrace/csv/preview?upload=" + name
    assert facts(page(client, asked + "&encoding=cp866", HTMX))["Encoding"] == "cp866"
    assert "klingon" in text_of(page(client, asked + "&encoding=klingon", HTMX).find(".//*[@role='alert']"))


def test_an_encoding_that_is_not_found_out_is_named_at_the_upload_and_kept(client, airflow):
    content = "id;name\n1;Anna\n".encode("cp037")  # EBCDIC
    assert uploaded(client, content).status_code == 422
    name = uploaded(client, content, encoding="cp037").json()["name"]
    assert client.get(f"/headrace/csv/new?upload={name}", headers=ADMIN).status_code == 422
    shown = page(client, f"/headrace/csv/new?upload={name}&encoding=cp037")
    assert shown.find(".//input[@id='field-encoding']").get("value") == "cp037"
    data = {"upload": name, "dag_id": "csv_processing", "key": "id", "output": "x.json", "encoding": "cp037"}
    assert client.post("/headrace/csv/start", data=data, headers=OWN_FORM).status_code == 204
    assert airflow.triggered[0][1]["encoding"] == "cp037"


# Runs.


def test_without_a_run_the_page_says_the_first_step(client):
    assert "First step: choose a CSV file" in text_of(page(client, "/headrace/csv/"))


def test_the_history_has_counts_states_and_who(client, airflow, counts):
    airflow.runs = [run(), run("failed", "<i>odd</i>"), run("success", "old", who="")]
    values = {"rows": 1142, "ok": 1140, "failed": 2, "skipped": 0, "calls": 1150, "retries": 8, "waited": 0.0}
    counts["<i>odd</i>"] = RunCounts(
        dag_id="csv_processing",
        run_id="<i>odd</i>",
        state="failed",
        **values,
        seconds=61,
        files=1,
        partial=False,
        began=0.0,
        ended_at=AT,
    )
    rows = page(client, "/headrace/csv/?page=7").findall(".//tbody/tr")  # of one page
    assert [[text_of(cell) for cell in row] for row in rows] == [
        ["2026-11-26 13:05 UTC", "csv_processing", "running", "not known yet", text_of(rows[0][4]), "ada"],
        ["2026-11-26 13:05 UTC", "csv_processing", "failed", "1,142", "1,140", "2", "0", "1 min 1 s", "ada"],
        ["2026-11-26 13:05 UTC", "csv_processing", "success", "not counted", "1 min 1 s", "the schedule"],
    ]
    assert len(page(client, "/headrace/csv/?state=unended", HTMX).findall(".//tbody/tr")) == 1
    assert client.get("/headrace/csv/?state=odd", headers=ADMIN).status_code == 422
    assert client.get("/headrace/csv/api/v1/runs?state=failed", headers=VIEWER).json()["total"] == 1


def test_a_run_at_work_shows_how_far_it_is_and_what_it_waits_for(client, airflow, tmp_path):
    planned(tmp_path, max_calls=500)
    airflow.runs = [run()]
    said = {"done": 40, "failed": 3, "per_second": 0.5, "waiting": 24.0, "eta": 1, "outage": False}
    airflow.tasks = [ChunkTask(0, "running", said), ChunkTask(1, "queued")]
    shown = page(client, AT_RUN)
    words = text_of(shown.find(".//section[@id='run']"))
    assert "40 of 142 rows" in words
    assert "0.5 rows a second, 3 failed, waiting 24 s for the limit csv_api 2/minute, about 3 min 24 s left" in words
    assert facts(shown)["Budget"] == "7 of 500 calls"
    tasks = [[text_of(cell) for cell in row] for row in shown.findall(".//tbody/tr")]
    assert tasks == [
        ["rows 1-100", "running", "40 of 100", "3", "0.5", "the limit: 24 s"],
        ["rows 101-142", "queued", "0 of 42", "0", "0", "a slot of the pool"],
    ]
    assert shown.find(".//section[@id='run']").get("hx-trigger").startswith("every 3s")
    progress = client.get(f"/headrace/csv/api/v1/runs/csv_processing/{ID}", headers=ADMIN).json()["progress"]
    assert (progress["done"], progress["waiting_seconds"], progress["limit"]) == (40, 24.0, "csv_api 2/minute")


def test_a_run_that_is_queued_says_behind_which(client, airflow):
    airflow.runs = [run("queued", "later", None), run()]
    assert "Queued: it begins when the run of 2026-11-26 13:05 UTC, started by ada, has ended." in text_of(
        page(client, "/headrace/csv/runs/csv_processing/later")
    )


def test_a_run_of_a_dag_that_is_switched_off_says_what_it_waits_for(client, airflow):
    airflow.runs, airflow.is_switched_on = [run("queued", began=None)], False
    assert "csv_processing is switched off: the run waits" in text_of(page(client, AT_RUN))


def test_a_run_that_is_under_way_once_more_has_no_counts_yet(client, airflow, counts):
    airflow.runs = [run("running")]
    counts["error"] = AssertionError("asked")
    assert "not known yet" in text_of(page(client, "/headrace/csv/"))


def test_a_run_that_has_ended_shows_its_counts_errors_and_files(client, airflow, tmp_path):
    folder = planned(tmp_path)
    errors = ["line 4: <script>alert(1)</script>"]
    ended(folder, callable=2, errors_file="x", first_errors=errors, problems=["it went wrong"])
    airflow.runs = [run("success")]
    shown = page(client, AT_RUN)
    assert shown.find(".//section[@id='run']").get("hx-trigger") == "rowsChanged from:body"
    assert {"Rows": "142", "Ok": "140", "Failed": "2", "Skipped": "0"}.items() <= facts(shown).items()
    assert shown.find(".//section//script") is None
    assert errors[0] in text_of(shown)
    files = {link.get("id"): link.get("href") for link in shown.findall(".//a[@download]")}
    assert set(files) == {"file-output", "file-errors", "file-manifest"}
    output = client.get(files["file-output"], headers=VIEWER)
    assert json.loads(output.content) == [{"id": "1"}, {"id": "2"}]
    assert "attachment" in output.headers["content-disposition"]
    assert client.get(files["file-errors"], headers=ADMIN).content == folder.errors.read_bytes()
    assert client.get(f"{AT_RUN}/files/plan.json", headers=ADMIN).status_code == 422
    assert client.get(f"{AT_RUN}/files/..%2F..%2Fx", headers=ADMIN).status_code == 404


def test_what_a_dry_run_would_do_is_said(client, airflow, tmp_path):
    ended(planned(tmp_path, dry_run=True), "dry run", note="142 rows, 0 of them not to be called")
    airflow.runs = [run("success")]
    assert "nothing was called: 142 rows" in text_of(page(client, AT_RUN))


def test_a_redrive_says_its_calls_and_is_given_what_the_run_was(client, airflow, tmp_path):
    ended(planned(tmp_path, chunks=((142, 0),)), "failed", callable=12)
    airflow.runs = [run("failed", max_calls=500, rate_limit="2/minute", source="uploads/a.csv", dry_run=False)]
    button = page(client, AT_RUN).find(".//button[@id='redrive']")
    assert text_of(button) == "Call only the 12 rows without an answer"
    dialog = page(client, button.get("hx-get"), HTMX)
    assert "12 calls, more where one is retried" in text_of(dialog)
    answer = client.post(dialog.find(".//button[@hx-post]").get("hx-post"), headers=OWN_FORM)
    assert answer.headers["hx-redirect"].startswith("/headrace/csv/runs/csv_processing/")
    assert airflow.triggered == [("csv_processing", {"retry_failed_of": ID, "max_calls": 500})]


def test_where_every_row_has_its_answer_there_is_no_redrive(client, airflow, tmp_path):
    ended(planned(tmp_path))
    airflow.runs = [run("success")]
    assert page(client, AT_RUN).find(".//button[@id='redrive']") is None
    assert client.post(f"{AT_RUN}/redrive", headers=OWN_FORM).status_code == 422


def test_a_run_that_is_under_way_or_cannot_be_read_is_not_called_again(client, airflow, tmp_path):
    ended(planned(tmp_path), callable=2)
    airflow.runs = [run()]
    answer = client.post(f"{AT_RUN}/redrive", headers=OWN_FORM)
    assert answer.status_code == 409
    assert "still running" in answer.text
    airflow.runs = [run("failed")]
    RunFolder(tmp_path, "csv_processing", ID).report.write_text("{")
    assert client.post(f"{AT_RUN}/redrive", headers=OWN_FORM).status_code == 503


def test_a_run_at_work_is_stopped_by_its_folder_and_says_by_whom(client, airflow, tmp_path):
    folder = planned(tmp_path)
    airflow.runs = [run()]
    dialog = page(client, f"{AT_RUN}/stop", HTMX)
    answer = client.post(dialog.find(".//button[@hx-post]").get("hx-post"), headers=OWN_FORM)
    assert (answer.status_code, json.loads(answer.headers["hx-trigger"])) == (
        204,
        {"rowsChanged": {}, "closeDialog": {}},
    )
    assert folder.stopped() == "stopped by admin"
    assert airflow.failed == []
    shown = page(client, AT_RUN)
    assert "Stopping: no further call is made (stopped by admin)." in text_of(shown)
    assert "disabled" in shown.find(".//button[@id='stop']").attrib


def test_a_run_that_has_not_begun_is_stopped_in_airflow(client, airflow):
    airflow.runs = [run("queued", began=None)]
    assert client.post(f"{AT_RUN}/stop", headers=OWN_FORM).status_code == 204
    assert airflow.failed == [ID]
    shown = page(client, AT_RUN)  # Airflow leaves it queued, for its report is to be made
    assert "Stopping: no further call is made (it ends when its turn comes)." in text_of(shown)
    assert "disabled" in shown.find(".//button[@id='stop']").attrib


def test_a_run_that_has_ended_cannot_be_stopped(client, airflow):
    airflow.runs = [run("success")]
    answer = client.post(f"{AT_RUN}/stop", headers=OWN_FORM)
    assert answer.status_code == 409
    assert "has ended already: success" in answer.text


def test_a_viewer_changes_nothing(client, airflow, tmp_path):
    folder = planned(tmp_path)
    airflow.runs = [run()]
    as_viewer = {**OWN_FORM, "cookie": "user=viewer"}
    for what in ("stop", "redrive"):
        assert client.post(f"{AT_RUN}/{what}", headers=as_viewer).status_code == 403
        assert client.post(f"/headrace/csv/api/v1/runs/csv_processing/{ID}/{what}", headers=VIEWER).status_code == 403
    assert folder.stopped() is None
    assert "disabled" in page(client, AT_RUN, VIEWER).find(".//button[@id='stop']").attrib


def test_a_run_that_is_not_there_and_a_dag_that_is_none(client):
    assert client.get(AT_RUN, headers=ADMIN).status_code == 404
    assert (
        "allowed is one of csv_processing"
        in client.get("/headrace/csv/runs/other/x", headers={**ADMIN, "accept": "application/json"}).json()["detail"]
    )


def test_what_is_away_is_said_and_the_rest_lives(client, airflow, counts, tmp_path):
    airflow.runs = [run("success")]
    assert "no longer kept" in text_of(page(client, AT_RUN))  # its folder was pruned
    assert "no longer kept" in client.post(f"{AT_RUN}/redrive", headers=OWN_FORM).text
    ended(planned(tmp_path))
    counts["error"] = TransientError("the application database does not answer")
    for path in ("/headrace/csv/", AT_RUN):
        words = text_of(page(client, path))
        assert "the application database does not answer" in words
        assert "csv_processing" in words


def test_a_storage_root_that_is_not_there_is_not_taken_for_a_pruned_folder(client, airflow, service, tmp_path):
    airflow.runs = [run("success")]
    ended(planned(tmp_path / "x"))
    object.__setattr__(service, "storage", lambda: tmp_path / "away")
    words = text_of(page(client, AT_RUN))
    assert "is not there" in words
    assert "no longer kept" not in words
    assert client.get(f"{AT_RUN}/files/output", headers=ADMIN).status_code == 503
    found = client.get(AT_RUN.replace("/csv/", "/csv/api/v1/"), headers=ADMIN).json()
    assert (found["files"], found["rows_without_answer"], found["problems"]) == (None, None, None)


def test_a_run_that_was_ended_before_it_began_had_no_files(client, airflow):
    airflow.runs = [run("queued", began=None)]
    object.__setattr__(airflow.runs[0], "state", "failed")
    assert "no longer kept" not in text_of(page(client, AT_RUN))


def test_a_storage_root_that_is_away_is_said(client, airflow, monkeypatch):
    def gone(*_):
        raise OSError(5, "Input/output error")

    airflow.runs = [run()]
    monkeypatch.setattr("include.enrichment.run.exists", gone)
    words = text_of(page(client, AT_RUN))
    assert "the storage root cannot be read: Input/output error" in words
    assert "ada" in words


def test_files_that_somebody_has_changed_are_said_and_the_rest_lives(client, airflow, tmp_path):
    airflow.runs = [run("success")]
    for name in ("report.json", "plan.json", "stop.json"):
        for content in (b"", b"{}", b"[1]", b"\xff", b'{"pipeline": 1, "source": {"columns": 3}}'):
            folder = planned(tmp_path)
            ended(folder)
            (folder.path / name).write_bytes(content)
            words = text_of(page(client, AT_RUN))
            assert "are not as a run leaves them" in words
            assert "ada" in words
        folder.resume()


def test_a_file_that_cannot_be_read_is_said_before_its_first_byte(client, airflow, tmp_path):
    folder = planned(tmp_path)
    ended(folder)
    folder.manifest.unlink()
    folder.manifest.mkdir()
    airflow.runs = [run("success")]
    answer = client.get(f"{AT_RUN}/files/manifest", headers=ADMIN)
    assert answer.status_code == 503
    assert "Is a directory" in answer.json()["detail"]


def test_a_run_id_that_no_database_takes_is_none(client, airflow):
    assert client.get("/headrace/csv/runs/csv_processing/a%00b", headers=ADMIN).status_code == 404


async def test_an_upload_that_is_broken_off_leaves_nothing(client, tmp_path):
    messages = iter([{"type": "http.request", "body": CSV, "more_body": True}, {"type": "http.disconnect"}])
    sent = []

    async def receive():
        return next(messages)

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/headrace/csv/api/v1/uploads",
        "raw_path": b"/headrace/csv/api/v1/uploads",
        "root_path": "",
        "query_string": b"filename=a.csv",
        "headers": [(b"authorization", b"Bearer admin")],
    }
    await client.app(scope, receive, send)
    assert sent[0]["status"] == 400
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_below_a_prefix_of_airflow_every_address_begins_with_it(access, served, service, airflow, tmp_path):  # noqa: F811
    client = served("/flow", csv=build_app(TAB, (TAB,), access, service))
    ended(planned(tmp_path), callable=2, errors_file="x")
    airflow.runs = [run("success")]
    name = client.post("/headrace/csv/api/v1/uploads?filename=a.csv", content=CSV, headers=ADMIN).json()["name"]
    for path in ("/headrace/csv/", AT_RUN, f"/headrace/csv/new?upload={name}", f"{AT_RUN}/redrive"):
        shown = page(client, path)
        addresses = [
            element.get(name)
            for element in shown.iter()
            for name in ("href", "src", "action", "hx-get", "hx-post", "data-upload", "data-next")
            if element.get(name)
        ]
        assert addresses
        assert [address for address in addresses if not address.startswith("/flow/")] == []

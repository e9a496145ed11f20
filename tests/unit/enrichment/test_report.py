"""What people are told of a run."""

from html.parser import HTMLParser

import pytest

from include.common.telegram import plain, units
from include.enrichment.models import Counts
from include.enrichment.report import Report, foreseen, read_report

REPORT = Report(
    pipeline="csv_processing",
    run_id="manual__2026-11-21T23:35:31+00:00",
    state="success",
    seconds=4.2,
    counts=Counts(rows=142, ok=139, failed=2, skipped=1),
    outputs=["/data/output.json"],
    files=1,
    first_errors=["row 5 (024): 404: `no such`", "row 9 (040): 500"],
    errors_file="/data/runs/errors.csv",
    link="http://localhost:8080/dags/csv_processing/runs/manual__2026-11-21T23%3A35%3A31%2B00%3A00",
    note="limit 2/minute: 142 calls take at least 1 h 10 min",
)


def changed(**fields) -> Report:
    return Report(**{"pipeline": "p", "run_id": "r", "state": "success", "seconds": 1.0} | fields)


def test_the_message_holds_what_happened_on_one_screen():
    lines = plain(REPORT.as_html()).splitlines()
    assert lines[:4] == [
        "✅ csv_processing: success",
        "run manual__2026-11-21T23:35:31+00:00",
        "rows 142, ok 139, failed 2, skipped 1",
        "took 4.2 s",
    ]
    assert sorted(lines[4:]) == [
        "- row 5 (024): 404: `no such`",
        "- row 9 (040): 500",
        "limit 2/minute: 142 calls take at least 1 h 10 min",
        "open the run",
        "output: /data/output.json",
        "rows that are not ok: /data/runs/errors.csv",
    ]


def test_a_dry_run_says_what_would_be_called():
    report = changed(state="dry run", note="3 rows, 2 to call; no rate limit: 2 calls")
    assert "3 rows, 2 to call; no rate limit: 2 calls" in report.as_text()
    assert plain(report.as_html()).count("3 rows, 2 to call") == 1


def test_the_summary_for_a_terminal_has_no_markup():
    lines = REPORT.as_text().splitlines()
    assert lines[:3] == ["csv_processing: success", "  rows 142, ok 139, failed 2, skipped 1", "  took 4.2 s"]
    assert "<" not in REPORT.as_text()


@pytest.mark.parametrize(("state", "mark"), [("success", "✅"), ("failed", "❌"), ("dry run", "📝")])
def test_the_first_letter_says_how_it_went(state, mark):
    assert changed(state=state).as_html().startswith(mark)


def test_a_run_that_failed_before_counting_says_why():
    text = changed(state="failed", problems=["source `/data/x.csv` does not exist"]).as_text()
    assert text.splitlines() == ["p: failed", "  took 1.0 s", "  error: source `/data/x.csv` does not exist"]


class Links(HTMLParser):
    """The addresses that a piece of HTML leads to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name == "href"]


@pytest.mark.parametrize("link", ["http://localhost:8080/runs/1?a=1&b=2", 'http://localhost:8080/runs/"quoted"'])
def test_the_link_leads_where_it_should(link):
    links = Links()
    links.feed(changed(link=link).as_html())
    assert links.found == [link]


def test_markup_in_the_data_is_shown_and_not_obeyed():
    report = changed(
        run_id="<b>",
        state="failed",
        problems=["<i>a & b</i>"],
        first_errors=["row 1 (<a>): 500"],
        outputs=["/<u>.json"],
        files=1,
    )
    markup = report.as_html()
    for tag in ("<i>", "<a>", "<u>"):
        assert tag not in markup
        assert tag in plain(markup)
    assert markup.count("<b>") == 1


def test_however_much_went_wrong_it_fits_one_message():
    report = changed(
        state="failed", problems=["x" * 5000] * 50, first_errors=["<" * 5000] * 50, outputs=["/f"] * 1000, files=1000
    )
    assert units(plain(report.as_html())) <= 4096
    assert len(report.as_html().splitlines()) <= 20


def test_a_run_that_published_nothing_names_no_output():
    assert "output" not in changed().as_text()


def test_many_outputs_are_counted_and_the_first_is_named():
    assert "output: 5000 files, the first /a" in changed(outputs=["/a", "/b", "/c"], files=5000).as_text()


def test_a_line_end_in_an_error_does_not_break_the_line():
    text = changed(first_errors=["row 1 (a): first\n  second"]).as_text()
    assert "- row 1 (a): first second" in text.splitlines()[-1]


COMMAND = "\x1b[2J\u202e"


def test_no_character_of_the_data_commands_the_terminal_or_reorders_a_line():
    report = changed(
        problems=[f"key {COMMAND}"],
        first_errors=[f"row 1 ({COMMAND}): 404"],
        outputs=[f"/{COMMAND}.json"],
        files=1,
        errors_file=f"/{COMMAND}.csv",
        note=COMMAND,
    )
    for text in (report.as_text(), plain(report.as_html())):
        assert all(line.isprintable() for line in text.splitlines())
        assert text.count(r"\x1b[2J\u202e") >= 4


def test_what_was_written_is_read_back(planning):
    REPORT.write(planning.folder)
    assert read_report(planning.folder) == REPORT


def test_a_report_without_counts_is_read_back(planning):
    report = changed(state="failed", problems=["no address of the API"])
    report.write(planning.folder)
    assert read_report(planning.folder) == report


def test_a_run_whose_plan_made_no_folder_can_be_reported(planning):
    assert not planning.folder.path.exists()
    REPORT.write(planning.folder)
    assert planning.folder.report.is_file()


def test_a_run_without_a_report_has_none(planning):
    assert read_report(planning.folder) is None


@pytest.mark.parametrize(
    ("rate_limit", "rows", "expected"),
    [("2/minute", 3, "limit 2/minute: 3 calls take at least 1 min 1 s"), ("none", 3, "no rate limit: 3 calls")],
)
def test_the_time_that_a_limit_takes_is_foreseen(planning, rate_limit, rows, expected):
    planning.plan("id\n" + "".join(f"{number}\n" for number in range(rows)), rate_limit=rate_limit)
    assert foreseen(planning.folder.read_plan()) == expected


def test_the_budget_of_a_run_bounds_the_time_that_is_foreseen(planning):
    planning.plan("id\n" + "".join(f"{number}\n" for number in range(50)), rate_limit="1/minute", max_calls=1)
    assert foreseen(planning.made) == "limit 1/minute: 1 calls fit in a second"


def test_the_api_is_named_with_where_its_address_was_found(planning):
    planning.plan("id\n1\n", api="https://api.example.org", api_origin="connection csv_api")
    assert foreseen(planning.made) == "no rate limit: 1 calls to https://api.example.org (connection csv_api)"


def test_a_report_of_a_run_in_a_bucket_is_read_back(make_planning, tmp_path, in_memory):
    folder = make_planning(tmp_path, in_memory).folder
    REPORT.write(folder)
    assert read_report(folder) == REPORT


def test_skipped_rows_are_told_with_their_reasons_in_the_message_and_in_the_summary():
    told = changed(
        counts=Counts(142, 50, 0, 92), skipped={"budget, max_calls = 50 calls were made": 90, "empty key": 2}
    )
    line = "skipped: 90 budget, max_calls = 50 calls were made; 2 empty key"
    assert f"  {line}" in told.as_text().splitlines()
    assert line in told.as_html().splitlines()
    assert "skipped:" not in changed(counts=Counts(1, 1, 0, 0)).as_text()

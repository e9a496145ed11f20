"""Settling a run: the end of every row, `errors.csv`, the frame, the manifest."""

import csv
import json

import pytest

from include.common.errors import PermanentError
from include.enrichment.ledger import Entry, Segment
from include.enrichment.models import Counts, RowStatus
from include.enrichment.reader import CsvFile, detect
from include.enrichment.results import (
    NEVER_CALLED,
    Manifest,
    Tally,
    check_failures,
    described,
    frame,
    read_tally,
    settle,
    tally,
)

OK, FAILED, RETRY, SKIPPED = RowStatus.OK, RowStatus.FAILED, RowStatus.RETRY, RowStatus.SKIPPED
# Rows 1, 3 and 6 are to be called; 2 is too short, 4 has no key, 5 repeats row 1's.
MIXED = "id,name\n1,a\n2\n3,c\n,d\n1,e\n6,f\n"


def answered(planning, *entries: Entry, chunk: int = 0, try_number: int = 1) -> None:
    with Segment(planning.folder.segments, chunk, try_number) as segment:
        for entry in entries:
            segment.append(entry)


def settled(planning) -> list[tuple[int, str]]:
    return [(row.number, str(row.entry.status)) for row in settle(planning.folder)]


def errors(planning) -> list[list[str]]:
    with planning.folder.errors.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.reader(stream))


def tallied(planning) -> Tally:
    return tally(planning.folder, planning.folder.read_plan())


def test_every_row_of_the_input_is_settled_in_order(planning):
    planning.plan(MIXED)
    answered(planning, Entry(6, OK, 1, answer=6), chunk=2)
    answered(planning, Entry(1, OK, 1, answer=1), chunk=0)
    answered(planning, Entry(3, FAILED, 1, "404"), chunk=1)
    assert settled(planning) == [
        (1, "ok"),
        (2, "failed"),
        (3, "failed"),
        (4, "skipped"),
        (5, "skipped"),
        (6, "ok"),
    ]


def test_rejected_rows_before_and_after_all_others_are_settled_too(planning):
    planning.plan("id,name\n1\n2,b\n3\n")
    answered(planning, Entry(2, OK, 1))
    assert settled(planning) == [(1, "failed"), (2, "ok"), (3, "failed")]


def test_the_newest_end_of_a_row_counts(planning):
    planning.plan("id,name\n1,a\n")
    answered(planning, Entry(1, RETRY, 1, "500"), try_number=1)
    answered(planning, Entry(1, OK, 2, answer=5), try_number=2)
    assert settled(planning) == [(1, "ok")]


def test_a_row_that_still_fails_for_now_has_failed_in_the_end(planning):
    planning.plan("id,name\n1,a\n")
    answered(planning, Entry(1, RETRY, 4, "500: `down`"))
    row = next(settle(planning.folder))
    assert row.entry == Entry(1, FAILED, 4, "500: `down`")


def test_a_row_that_was_never_called_has_failed_and_says_so(planning):
    planning.plan("id,name\n1,a\n")
    row = next(settle(planning.folder))
    assert row.entry == Entry(1, FAILED, 0, NEVER_CALLED)


def test_rows_are_counted_by_their_end(planning):
    planning.plan(MIXED)
    answered(planning, Entry(1, OK, 1), Entry(3, FAILED, 1, "404"))
    found = tallied(planning)
    assert found.counts == Counts(rows=6, ok=1, failed=3, skipped=2)


def test_the_counts_add_up_to_the_rows_of_the_plan(planning):
    planning.plan(MIXED)
    counts = tallied(planning).counts
    assert counts.ok + counts.failed + counts.skipped == counts.rows == planning.folder.read_plan().rows


def test_errors_csv_lists_every_row_that_is_not_ok_with_its_reason(planning):
    planning.plan(MIXED)
    answered(planning, Entry(1, OK, 1), Entry(3, FAILED, 2, "404: `no such`"))
    tallied(planning)
    assert errors(planning) == [
        ["id", "name", "status", "attempts", "error"],
        ["2", "", "failed", "0", "line 3: 1 field, the header has 2"],
        ["3", "c", "failed", "2", "404: `no such`"],
        ["", "d", "skipped", "0", "line 5: the key `id` is empty"],
        ["1", "e", "skipped", "0", "line 6: the key `1` was seen in row 1"],
        ["6", "f", "failed", "0", NEVER_CALLED],
    ]


def test_where_every_row_is_ok_errors_csv_has_its_header_only(planning):
    planning.plan("id,name\n1,a\n")
    answered(planning, Entry(1, OK, 1))
    tallied(planning)
    assert errors(planning) == [["id", "name", "status", "attempts", "error"]]


def test_errors_csv_opens_in_a_spreadsheet_as_utf_8(planning):
    planning.plan("id,город\n1,Москва\n")
    tallied(planning)
    content = planning.folder.errors.read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    assert "1,Москва,failed" in content.decode("utf-8-sig")


def test_a_row_with_too_many_fields_keeps_the_columns_of_the_others(planning):
    planning.plan("id,name\n1,a,b,c\n2,b\n")
    tallied(planning)
    assert errors(planning)[1] == ["1", "a", "failed", "0", "line 2: 4 fields, the header has 2"]


def test_undecodable_bytes_and_nuls_are_shown_and_the_file_stays_utf_8(planning):
    planning.plan(b"id,name\n1,a\xffb\n2,c\0d\n3,e\n", pipeline={"encoding": "utf-8"})
    tallied(planning)
    assert [row[1] for row in errors(planning)[1:3]] == ["a\\xFFb", "c\\x00d"]


def test_whatever_an_api_says_errors_csv_can_hold_it(planning):
    planning.plan("id,name\n1,a\n2,b\n")
    answered(planning, Entry(1, RETRY, 4, "200 without `x`: half an emoji \ud83d, a NUL \0, a line\nend"))
    found = tallied(planning)
    assert "half an emoji" in errors(planning)[1][4]
    assert "half an emoji" in found.first_errors[0]
    assert found.counts.failed == 2


def test_errors_csv_can_be_fed_back_as_an_input(planning):
    planning.plan(MIXED)
    tallied(planning)
    planning.source.write_bytes(planning.folder.errors.read_bytes())
    planning.plan()
    made = planning.folder.read_plan()
    assert made.columns == ("id", "name", "status", "attempts", "error")
    assert made.rows == 6


def test_errors_csv_of_a_fed_back_errors_csv_can_be_fed_back_too(planning):
    planning.plan("id,name\n1,a\n")
    for _ in range(3):
        tallied(planning)
        planning.source.write_bytes(planning.folder.errors.read_bytes())
        planning.plan()
    with CsvFile(planning.source, detect(planning.source, "id")) as table:
        assert table.columns[0] == "id"
        assert len(list(table.rows())) == 1


def test_the_first_three_rows_that_failed_are_told_and_no_skipped_ones(planning):
    planning.plan("id,name\n,x\n1,a\n2\n3,c\n4,d\n5,e\n")
    answered(planning, Entry(2, FAILED, 1, "404"), Entry(4, OK, 1), Entry(5, RETRY, 4, "500"))
    assert tallied(planning).first_errors == [
        "row 2 (1): 404",
        "row 3 (2): line 4: 1 field, the header has 2",
        "row 5 (4): 500",
    ]


def test_a_tally_is_kept_for_the_steps_behind(planning):
    planning.plan(MIXED)
    found = tallied(planning)
    assert read_tally(planning.folder) == found


def test_a_run_that_was_not_settled_has_no_tally(planning):
    planning.plan(MIXED)
    assert read_tally(planning.folder) is None


def failing(ok: int, failed: int, skipped: int = 0, first: tuple[str, ...] = ()) -> Tally:
    return Tally(Counts(ok + failed + skipped, ok, failed, skipped), list(first))


@pytest.mark.parametrize(
    ("ok", "failed", "skipped", "ratio"),
    [(9, 1, 0, 0.1), (90, 10, 0, 0.1), (27, 3, 0, 0.1), (1, 0, 0, 0), (7, 3, 0, 0.3), (1, 99, 0, 1), (9, 1, 500, 0.1)],
)
def test_as_many_failures_as_allowed_pass(ok, failed, skipped, ratio):
    check_failures(failing(ok, failed, skipped), ratio)


@pytest.mark.parametrize(
    ("ok", "failed", "skipped", "ratio"),
    [(8, 1, 0, 0.1), (89, 10, 0, 0.1), (999, 1, 0, 0), (8, 1, 500, 0.1)],
)
def test_one_failure_more_than_allowed_fails_the_run(ok, failed, skipped, ratio):
    with pytest.raises(PermanentError, match=rf"^{failed} of {ok + failed} rows failed, .*max_failed_ratio = {ratio}"):
        check_failures(failing(ok, failed, skipped), ratio)


@pytest.mark.parametrize(("failed", "skipped"), [(5, 0), (0, 5), (2, 3)])
def test_a_run_without_one_answer_fails_whatever_is_allowed(failed, skipped):
    with pytest.raises(PermanentError, match=f"^no row was answered: {failed} failed, {skipped} skipped"):
        check_failures(failing(0, failed, skipped), 1)


def test_the_message_of_a_failed_run_gives_the_first_error():
    with pytest.raises(PermanentError, match=r"first: row 1 \(004\): 404$"):
        check_failures(failing(1, 1, first=("row 1 (004): 404", "row 2 (008): 500")), 0.1)


def test_rows_never_called_count_as_failed_for_the_ratio(planning):
    planning.plan("id,name\n" + "".join(f"{number},x\n" for number in range(10)))
    answered(planning, *(Entry(number, OK, 1) for number in range(1, 9)))
    with pytest.raises(PermanentError, match=r"^2 of 10 rows failed"):
        check_failures(tallied(planning), 0.1)


def test_the_transforms_frame_holds_the_ok_rows_in_input_order(planning):
    planning.plan("id,name\n007,a\n2,b\n3,c\n")
    answered(planning, Entry(3, OK, 1, answer={"n": 3}), Entry(1, OK, 1, answer={"n": 1}), Entry(2, FAILED, 1, "404"))
    found = frame(planning.folder, planning.folder.read_plan())
    assert found.to_dict("records") == [
        {"id": "007", "name": "a", "_answer": {"n": 1}},
        {"id": "3", "name": "c", "_answer": {"n": 3}},
    ]
    assert list(found.columns) == ["id", "name", "_answer"]
    assert set(map(str, found.dtypes)) == {"object"}


def test_big_integers_and_nulls_come_to_the_transform_as_they_were(planning):
    planning.plan("id\n1\n2\n")
    answered(planning, Entry(1, OK, 1, answer=2**80), Entry(2, OK, 1, answer=None))
    assert list(frame(planning.folder, planning.folder.read_plan())["_answer"]) == [2**80, None]


def test_the_manifest_says_what_the_run_did(planning):
    planning.plan("id\n1\n")
    answered(planning, Entry(1, OK, 1, answer=5))
    planning.output.write_bytes(b"[]\n")
    Manifest(
        run="manual__1",
        state="success",
        seconds=4.5,
        tally=tallied(planning),
        plan=planning.folder.read_plan(),
        outputs=described([planning.output]),
        pipeline=planning.pipeline(),
        versions={"pandas": "3.1.1"},
    ).write(planning.folder)
    found = json.loads(planning.folder.manifest.read_text())
    assert (found["run"], found["state"], found["seconds"], found["error"]) == ("manual__1", "success", 4.5, None)
    assert found["tally"]["counts"] == {"rows": 1, "ok": 1, "failed": 0, "skipped": 0}
    assert (found["plan"]["source"], found["plan"]["source_bytes"]) == (str(planning.source), 5)
    assert found["outputs"] == [
        {
            "path": str(planning.output),
            "bytes": 3,
            "sha256": "37517e5f3dc66819f61f5a7bb8ace1921282415f10551d2defa5c3eb0985b570",
        }
    ]
    assert found["pipeline"]["request"]["path"] == "/{id}"
    assert found["versions"] == {"pandas": "3.1.1"}

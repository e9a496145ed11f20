"""Settling a run: the end of every row, `errors.csv`, the frames, the manifest."""

import csv
import json
import tracemalloc

import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.common.errors import PermanentError
from include.enrichment import results
from include.enrichment.ledger import Entry, Waited
from include.enrichment.models import Counts, RowStatus
from include.enrichment.reader import CsvFile, detect
from include.enrichment.records import Published
from include.enrichment.results import (
    NEVER_CALLED,
    Manifest,
    Settled,
    Tally,
    check_failures,
    frames,
    read_manifest,
    read_tally,
    settle,
    tally,
)
from include.enrichment.run import Ending

pytest_plugins = ["tests.s3"]

OK, FAILED, RETRY, SKIPPED = RowStatus.OK, RowStatus.FAILED, RowStatus.RETRY, RowStatus.SKIPPED
ONE_CHUNK = {"pipeline": {"single_rows": 0}, "tasks": 1}
# Rows 1, 3 and 6 are to be called; 2 is too short, 4 has no key, 5 repeats row 1's.
MIXED = "id,name\n1,a\n2\n3,c\n,d\n1,e\n6,f\n"


def ends(planning) -> list[tuple[int, str]]:
    return [(row.number, str(row.status)) for row in planning.settled()]


def errors(planning) -> list[list[str]]:
    with planning.folder.errors.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.reader(stream))


def tallied(planning) -> Tally:
    return tally(planning.folder, planning.made)


def test_every_row_of_the_input_is_settled_in_order(planning):
    planning.plan(MIXED)
    planning.answered(Entry(6, OK, 1, answer=6), chunk=2)
    planning.answered(Entry(1, OK, 1, answer=1), chunk=0)
    planning.answered(Entry(3, FAILED, 1, "404"), chunk=1)
    assert ends(planning) == [
        (1, "ok"),
        (2, "failed"),
        (3, "failed"),
        (4, "skipped"),
        (5, "skipped"),
        (6, "ok"),
    ]


def test_rejected_rows_before_and_after_all_others_are_settled_too(planning):
    planning.plan("id,name\n1\n2,b\n3\n")
    planning.answered(Entry(2, OK, 1))
    assert ends(planning) == [(1, "failed"), (2, "ok"), (3, "failed")]


def test_the_newest_end_of_a_row_counts(planning):
    planning.plan("id,name\n1,a\n")
    planning.answered(Entry(1, RETRY, 1, "500"), try_number=1)
    planning.answered(Entry(1, OK, 2, answer=5), try_number=2)
    assert ends(planning) == [(1, "ok")]


def test_a_row_that_still_fails_for_now_has_failed_in_the_end(planning):
    planning.plan("id,name\n1,a\n")
    planning.answered(Entry(1, RETRY, 4, "500: `down`"))
    assert planning.settled() == [Settled(1, ["1", "a"], FAILED, 4, "500: `down`")]


def test_a_row_that_was_never_called_has_failed_and_says_so(planning):
    planning.plan("id,name\n1,a\n")
    assert planning.settled() == [Settled(1, ["1", "a"], FAILED, 0, NEVER_CALLED)]
    assert NEVER_CALLED.startswith("not called")


def test_rows_that_the_chunk_left_are_skipped_for_its_reason(planning):
    planning.plan("id,name\n1,a\n2,b\n3,c\n", **ONE_CHUNK)
    planning.answered(Entry(1, OK, 1), Entry(2, RETRY, 1, "500"))
    planning.folder.end(0, Ending(1, 3, left="skipped: budget, max_calls = 2 calls were made"))
    assert [(row.status, row.attempts, row.error) for row in planning.settled()] == [
        (OK, 1, None),
        (FAILED, 1, "500"),
        (SKIPPED, 0, "skipped: budget, max_calls = 2 calls were made"),
    ]


def test_a_chunk_that_left_rows_says_nothing_of_another_chunks_rows(planning):
    planning.plan("id,name\n1,a\n2,b\n")
    planning.folder.end(0, Ending(1, 3, left="skipped: deadline"))
    planning.folder.end(1, Ending(1, 3))
    assert [(row.status, row.error) for row in planning.settled()] == [
        (SKIPPED, "skipped: deadline"),
        (FAILED, NEVER_CALLED),
    ]


def test_answers_come_only_where_they_are_asked_for(planning):
    planning.plan("id,name\n1,a\n")
    planning.answered(Entry(1, OK, 2, answer={"n": 1}))
    assert planning.settled(answers=False) == [Settled(1, ["1", "a"], OK, 2)]
    (row,) = planning.settled(answers=True)
    assert (row.answer, row.attempts) == ({"n": 1}, 2)
    assert row.size >= len('{"n":1}')


def test_only_rows_that_could_be_called_may_be_called_by_another_run(planning):
    planning.plan(MIXED)
    planning.answered(Entry(1, OK, 1))
    assert [(row.number, row.callable) for row in planning.settled()] == [
        (1, True),
        (2, False),
        (3, True),
        (4, False),
        (5, False),
        (6, True),
    ]


def test_a_dry_run_has_only_the_rows_that_are_not_called_anyway(planning):
    planning.plan(MIXED, dry_run=True)
    assert ends(planning) == [(2, "failed"), (4, "skipped"), (5, "skipped")]


ROWS = st.lists(st.sampled_from(["ok", "failed", "retry", "never", "short", "empty", "again"]), min_size=1, max_size=40)


@given(rows=ROWS, tasks=st.integers(1, 6))
def test_whatever_happens_every_row_comes_once_and_in_order(make_planning, tmp_path_factory, rows, tasks):
    planning = make_planning(tmp_path_factory.mktemp("run"))
    lines = {"short": "{n}\n", "empty": ",x\n", "again": "0,x\n"}
    chunks = planning.plan(
        "id,name\n0,first\n" + "".join(lines.get(kind, "{n},x\n").format(n=n) for n, kind in enumerate(rows, 2)),
        pipeline={"single_rows": 0},
        tasks=tasks,
    )
    kinds = {"ok": OK, "failed": FAILED, "retry": RETRY}
    for chunk in chunks:
        called = [(n, kinds[kind]) for n, kind in enumerate(rows, 2) if kind in kinds]
        inside = [Entry(n, status, 1) for n, status in called if chunk.first_row <= n <= chunk.last_row]
        planning.answered(*inside, chunk=chunk.index)
    skipped = ("empty", "again")
    expected = [OK if kind == "ok" else SKIPPED if kind in skipped else FAILED for kind in rows]
    assert [(row.number, row.status) for row in planning.settled()] == [(1, FAILED), *enumerate(expected, 2)]


def test_rows_are_counted_by_their_end(planning):
    planning.plan(MIXED, **ONE_CHUNK)
    planning.answered(Entry(1, OK, 1), Entry(3, FAILED, 1, "404"))
    found = tallied(planning)
    assert found.counts == Counts(rows=6, ok=1, failed=3, skipped=2)


def test_the_counts_add_up_to_the_rows_of_the_plan(planning):
    planning.plan(MIXED)
    counts = tallied(planning).counts
    assert counts.ok + counts.failed + counts.skipped == counts.rows == planning.folder.read_plan().rows


def test_errors_csv_lists_every_row_that_is_not_ok_with_its_reason(planning):
    planning.plan(MIXED, **ONE_CHUNK)
    planning.answered(Entry(1, OK, 1), Entry(3, FAILED, 2, "404: `no such`"))
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
    planning.answered(Entry(1, OK, 1))
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
    planning.answered(Entry(1, RETRY, 4, "200 without `x`: half an emoji \ud83d, a NUL \0, a line\nend"))
    found = tallied(planning)
    assert "half an emoji" in errors(planning)[1][4]
    assert "half an emoji" in found.first_errors[0]
    assert found.counts.failed == 2


def test_an_odd_key_is_shown_escaped_and_cut_so_that_the_reason_stays_in_sight(planning):
    keys = ["\x1b[2J\u202e", "k" * 5000]
    planning.plan(f"id,name\n{keys[0]},a\n{keys[1]},b\n", **ONE_CHUNK)
    planning.answered(Entry(1, FAILED, 1, "404: `\x1b[0m`"), Entry(2, FAILED, 1, "500: " + "x" * 1000))
    found = tallied(planning)
    assert found.first_errors[0] == r"row 1 (\x1b[2J\u202e): 404: `\x1b[0m`"
    assert found.first_errors[1].startswith(f"row 2 ({'k' * 30}…{'k' * 29}): 500: xxx")
    assert len(found.first_errors[1]) == 300
    assert [row[0] for row in errors(planning)[1:]] == keys


def test_errors_csv_can_be_fed_back_as_an_input(planning):
    planning.plan(MIXED)
    tallied(planning)
    planning.source.write_bytes(planning.folder.errors.read_bytes())
    planning.plan()
    made = planning.folder.read_plan()
    assert made.source.columns == ("id", "name", "status", "attempts", "error")
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
    planning.plan("id,name\n,x\n1,a\n2\n3,c\n4,d\n5,e\n", **ONE_CHUNK)
    planning.answered(Entry(2, FAILED, 1, "404"), Entry(4, OK, 1), Entry(5, RETRY, 4, "500"))
    assert tallied(planning).first_errors == [
        "row 2 (1): 404",
        "row 3 (2): line 4: 1 field, the header has 2",
        "row 5 (4): 500",
    ]


def test_rows_that_a_redrive_would_call_are_counted(planning):
    planning.plan(MIXED)
    planning.answered(Entry(1, OK, 1, answer=1), chunk=0)
    planning.answered(Entry(3, FAILED, 1, "404"), chunk=1)
    assert tallied(planning).callable == len(
        [row for row in planning.settled() if row.status is not OK and row.callable]
    )
    assert tallied(planning).callable == 2


def test_skipped_rows_are_counted_by_a_reason_that_they_share(planning):
    planning.plan('id,name\n1,a\n,b\n1,c\n ,d\n"1\n`2",e\n2,f\n1,g\n3,h\n', **ONE_CHUNK)
    planning.folder.end(0, Ending(1, 0, left="skipped: budget, max_calls = 2 calls were made"))
    found = tallied(planning)
    assert found.skipped == {"budget, max_calls = 2 calls were made": 4, "empty key": 2, "repeated key": 2}
    assert sum(found.skipped.values()) == found.counts.skipped == 8
    assert read_tally(planning.folder) == found


def test_a_tally_is_kept_for_the_steps_behind(planning):
    planning.plan(MIXED)
    found = tallied(planning)
    assert read_tally(planning.folder) == found


def test_calls_are_counted_over_all_chunks_and_rows_never_called_are_none(planning):
    planning.plan(MIXED)
    planning.answered(Entry(1, RETRY, 1, "500"), Entry(1, RETRY, 2, "500"), Waited(1.5), chunk=0)
    planning.answered(Entry(1, OK, 3, answer=1), Waited(2.0), chunk=0, try_number=2)
    planning.answered(Entry(3, FAILED, 1, "404"), Waited(0.25), chunk=1)
    found = tallied(planning)
    assert (found.calls, found.retries, found.waited) == (4, 2, 3.75)
    assert read_tally(planning.folder) == found


def test_a_tally_of_an_earlier_version_is_read(planning):
    planning.plan(MIXED)
    tallied(planning)
    old = json.loads(planning.folder.tally.read_text())
    for name in ("calls", "retries", "waited"):
        del old[name]
    planning.folder.tally.write_text(json.dumps(old))
    found = read_tally(planning.folder)
    assert (found.calls, found.retries, found.waited) == (0, 0, 0.0)


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
    planning.plan("id,name\n" + "".join(f"{number},x\n" for number in range(10)), **ONE_CHUNK)
    planning.answered(*(Entry(number, OK, 1) for number in range(1, 9)))
    with pytest.raises(PermanentError, match=r"^2 of 10 rows failed"):
        check_failures(tallied(planning), 0.1)


def numbered(rows: int) -> str:
    return "id\n" + "".join(f"{number}\n" for number in range(1, rows + 1))


def sizes(planning, whole: bool = False) -> list[int]:
    return [len(frame) for frame in frames(planning.folder, planning.made, whole)]


def test_a_transforms_frame_holds_the_ok_rows_in_input_order(planning):
    planning.plan("id,name\n007,a\n2,b\n3,c\n", **ONE_CHUNK)
    planning.answered(Entry(3, OK, 1, answer={"n": 3}), Entry(1, OK, 1, answer={"n": 1}), Entry(2, FAILED, 1, "404"))
    (found,) = frames(planning.folder, planning.made)
    assert found.to_dict("records") == [
        {"id": "007", "name": "a", "_answer": {"n": 1}},
        {"id": "3", "name": "c", "_answer": {"n": 3}},
    ]
    assert list(found.columns) == ["id", "name", "_answer"]
    assert set(map(str, found.dtypes)) == {"object"}


def test_the_outcome_of_an_earlier_run_is_no_column_for_the_transform(planning):
    planning.plan("id,status,attempts,error\n1,failed,4,500\n")
    planning.answered(Entry(1, OK, 1, answer=5))
    (found,) = frames(planning.folder, planning.made)
    assert list(found.columns) == ["id", "_answer"]


def test_big_integers_and_nulls_come_to_the_transform_as_they_were(planning):
    planning.plan("id\n1\n2\n", **ONE_CHUNK)
    planning.answered(Entry(1, OK, 1, answer=2**80), Entry(2, OK, 1, answer=None))
    (found,) = frames(planning.folder, planning.made)
    assert list(found["_answer"]) == [2**80, None]


def test_a_run_without_an_answer_has_no_frame(planning):
    planning.plan("id\n1\n")
    assert sizes(planning) == []
    assert sizes(planning, whole=True) == []


@pytest.mark.parametrize(("rows", "parts"), [(1, [1]), (9, [9]), (10, [10]), (11, [10, 1]), (30, [10, 10, 10])])
def test_a_frame_has_only_so_many_rows(planning, monkeypatch, rows, parts):
    monkeypatch.setattr(results, "PART_ROWS", 10)
    planning.plan(numbered(rows), **ONE_CHUNK)
    planning.answered(*(Entry(n, OK, 1, answer=n) for n in range(1, rows + 1)))
    assert sizes(planning) == parts


def test_rows_without_an_answer_do_not_count_for_a_frame(planning, monkeypatch):
    monkeypatch.setattr(results, "PART_ROWS", 2)
    planning.plan(numbered(9), **ONE_CHUNK)
    planning.answered(*(Entry(n, OK, 1, answer=n) for n in (2, 3, 8, 9)), Entry(5, FAILED, 1, "404"))
    assert [list(frame["id"]) for frame in frames(planning.folder, planning.made)] == [["2", "3"], ["8", "9"]]


def test_a_frame_has_only_so_many_bytes_of_answers(planning, monkeypatch):
    monkeypatch.setattr(results, "PART_BYTES", 10_000)
    planning.plan(numbered(12), **ONE_CHUNK)
    planning.answered(*(Entry(n, OK, 1, answer="x" * (2_500 if n < 9 else 9_000)) for n in range(1, 13)))
    assert sizes(planning) == [4, 4, 2, 2]


def test_an_answer_larger_than_a_frame_should_be_is_a_frame_of_its_own(planning, monkeypatch):
    monkeypatch.setattr(results, "PART_BYTES", 100)
    planning.plan(numbered(3), **ONE_CHUNK)
    planning.answered(*(Entry(n, OK, 1, answer="x" * 1000) for n in (1, 2, 3)))
    assert sizes(planning) == [1, 1, 1]


def test_the_parts_together_are_the_whole(planning, monkeypatch):
    monkeypatch.setattr(results, "PART_ROWS", 7)
    planning.plan(numbered(50))
    for n in range(1, 51):
        if n % 3:
            planning.answered(Entry(n, OK, 1, answer={"n": n}), chunk=(n - 1) // 10)
    (whole,) = frames(planning.folder, planning.made, whole=True)
    parts = list(frames(planning.folder, planning.made))
    assert len(parts) == 5
    pandas.testing.assert_frame_equal(pandas.concat(parts, ignore_index=True), whole)


@pytest.fixture
def many(planning):
    """20,000 rows answered with 2 KB each: 40 MB of answers."""
    planning.plan(numbered(20_000), tasks=4)
    for chunk in planning.made.chunks:
        with (planning.folder.segments / f"{chunk.index:05d}.001.jsonl").open("wb") as stream:
            for n in range(chunk.first_row, chunk.last_row + 1):
                stream.write(Entry(n, OK, 1, answer=f"{n:02000d}").line())
    return planning


def peak_of(rows) -> tuple[int, int]:
    """How many there were, and the most memory that going through them took."""
    tracemalloc.start()
    count = sum(len(row) if isinstance(row, pandas.DataFrame) else 1 for row in rows)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return count, most


def test_going_through_the_frames_does_not_hold_all_answers(many):
    count, most = peak_of(frames(many.folder, many.made))
    assert count == 20_000
    assert most < 15_000_000


def test_settling_does_not_hold_all_answers(many):
    count, most = peak_of(settle(many.folder, many.made, answers=True))
    assert count == 20_000
    assert most < 3_000_000


def test_the_manifest_says_what_the_run_did(planning):
    planning.plan("id\n1\n")
    planning.answered(Entry(1, OK, 1, answer=5))
    Manifest(
        run="manual__1",
        state="success",
        seconds=4.5,
        tally=tallied(planning),
        plan=planning.made,
        files=1,
        outputs=[
            Published(str(planning.output), 3, "37517e5f3dc66819f61f5a7bb8ace1921282415f10551d2defa5c3eb0985b570")
        ],
        pipeline=planning.pipeline(),
        versions={"pandas": "3.1.1"},
    ).write(planning.folder)
    found = json.loads(planning.folder.manifest.read_text())
    assert (found["run"], found["state"], found["seconds"], found["error"]) == ("manual__1", "success", 4.5, None)
    assert found["tally"]["counts"] == {"rows": 1, "ok": 1, "failed": 0, "skipped": 0}
    assert (found["plan"]["source"]["path"], found["plan"]["source"]["bytes"]) == (str(planning.source), 5)
    assert found["files"] == 1
    assert found["outputs"] == [
        {
            "path": str(planning.output),
            "bytes": 3,
            "sha256": "37517e5f3dc66819f61f5a7bb8ace1921282415f10551d2defa5c3eb0985b570",
        }
    ]
    assert found["pipeline"]["request"]["path"] == "/{id}"
    assert found["versions"] == {"pandas": "3.1.1"}
    assert read_manifest(planning.folder) == found


def test_a_run_that_has_not_come_to_its_end_has_no_manifest(planning):
    planning.plan("id\n1\n")
    assert read_manifest(planning.folder) is None


def test_a_run_whose_folder_is_in_a_bucket_is_settled_there(make_planning, tmp_path, bucket, monkeypatch):
    monkeypatch.setattr(results, "PART_ROWS", 2)
    planning = make_planning(tmp_path, bucket / "headrace")
    planning.plan(MIXED + "7,g\n8,h\n", pipeline={"single_rows": 0}, tasks=2)
    planning.answered(Entry(1, RETRY, 1, "500"), Entry(3, FAILED, 1, "404"))
    planning.answered(Entry(1, OK, 2, answer="one"), try_number=2)
    planning.answered(Entry(7, OK, 1, answer="seven"), Entry(8, OK, 1, answer={"n": 8}), chunk=1)
    planning.folder.end(0, Ending(2, 3, left="skipped: deadline"))
    assert tallied(planning).counts == Counts(rows=8, ok=3, failed=2, skipped=3)
    assert read_tally(planning.folder).first_errors == [
        "row 2 (2): line 3: 1 field, the header has 2",
        "row 3 (3): 404",
    ]
    assert [row[0] for row in csv.reader(planning.folder.errors.read_text("utf-8-sig").splitlines())] == [
        "id",
        "2",
        "3",
        "",
        "1",
        "6",
    ]
    found = list(frames(planning.folder, planning.made))
    assert [list(frame["_answer"]) for frame in found] == [["one", "seven"], [{"n": 8}]]

"""Taking over an earlier run: what was answered is kept, the rest is called again."""

import hashlib
import json

import pytest

from include.common.errors import BadInputError, ConfigError
from include.common.storage import remove_folder
from include.enrichment.ledger import Entry
from include.enrichment.models import Counts, RowStatus
from include.enrichment.results import NEVER_CALLED, frames, tally
from include.enrichment.rows import open_rows, read_rows
from include.enrichment.run import Ending

pytest_plugins = ["tests.s3"]

OK, FAILED, RETRY, SKIPPED = RowStatus.OK, RowStatus.FAILED, RowStatus.RETRY, RowStatus.SKIPPED
# Rows 1, 3, 5, 7 and 8 are to be called; 2 is too short, 4 has no key, 6 repeats row 1's.
SOURCE = "id,name\n1,a\n2\n3,c\n,d\n5,e\n1,f\n7,g\n8,h\n"
ONE_CHUNK = {"pipeline": {"single_rows": 0}, "tasks": 1}


@pytest.fixture(params=["local", "s3"])
def first_run(request, make_planning, tmp_path):
    """A run in which row 1 was answered, 3 failed for good, 5 for now, and 7 and 8 were not called."""
    storage = None if request.param == "local" else request.getfixturevalue("bucket") / "storage"
    planning = make_planning(tmp_path, storage)
    planning.plan(SOURCE, **ONE_CHUNK)
    planning.answered(Entry(1, RETRY, 1, "503"), Entry(3, FAILED, 1, "404"), Entry(5, RETRY, 1, "500"))
    planning.answered(Entry(1, OK, 2, answer={"big": 2**80}), Entry(5, RETRY, 2, "500"), try_number=2)
    return planning


def to_call(planning) -> list[tuple[int, str, list[str]]]:
    found = []
    for chunk in planning.made.chunks:
        with open_rows(planning.folder, chunk) as rows:
            found += [tuple(row) for row in read_rows(rows, chunk)]
    return found


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def ends(planning) -> list[tuple[int, str, str | None]]:
    return [(row.number, str(row.status), row.error) for row in planning.settled()]


def test_only_rows_without_an_answer_that_can_be_called_are_called_again(first_run):
    first_run.redrive("manual__2")
    assert to_call(first_run) == [
        (3, "3", ["3", "c"]),
        (5, "5", ["5", "e"]),
        (7, "7", ["7", "g"]),
        (8, "8", ["8", "h"]),
    ]


def test_answered_rows_are_kept_with_their_answers(first_run):
    first_run.redrive("manual__2")
    assert lines(first_run.folder.kept) == [{"n": 1, "v": ["1", "a"], "attempts": 2, "answer": {"big": 2**80}}]


def test_rows_that_the_plan_set_aside_stay_set_aside(first_run):
    first_run.redrive("manual__2")
    assert [(line["n"], line["status"], line["error"]) for line in lines(first_run.folder.rejects)] == [
        (2, "failed", "line 3: 1 field, the header has 2"),
        (4, "skipped", "line 5: the key `id` is empty"),
        (6, "skipped", "line 7: the key `1` was seen in row 1"),
    ]


@pytest.mark.parametrize("left", ["skipped: budget, max_calls = 3 calls were made", "skipped: deadline, 12:00 UTC"])
def test_rows_that_budget_or_deadline_left_are_called(planning, left):
    planning.plan("id\n1\n2\n3\n", **ONE_CHUNK)
    planning.answered(Entry(1, OK, 1))
    planning.folder.end(0, Ending(1, 3, left=left))
    assert [row.status for row in planning.settled()] == [OK, SKIPPED, SKIPPED]
    planning.redrive("manual__2")
    assert [n for n, _, _ in to_call(planning)] == [2, 3]


def test_before_a_call_every_row_stands_once_and_in_order(first_run):
    first_run.redrive("manual__2")
    assert ends(first_run) == [
        (1, "ok", None),
        (2, "failed", "line 3: 1 field, the header has 2"),
        (3, "failed", NEVER_CALLED),
        (4, "skipped", "line 5: the key `id` is empty"),
        (5, "failed", NEVER_CALLED),
        (6, "skipped", "line 7: the key `1` was seen in row 1"),
        (7, "failed", NEVER_CALLED),
        (8, "failed", NEVER_CALLED),
    ]


def test_new_answers_stand_among_the_kept_ones_in_the_inputs_order(first_run):
    first_run.redrive("manual__2", **ONE_CHUNK)
    first_run.answered(Entry(3, FAILED, 1, "404"), Entry(5, OK, 1, answer="five"), Entry(8, OK, 1, answer="eight"))
    assert tally(first_run.folder, first_run.made).counts == Counts(rows=8, ok=3, failed=3, skipped=2)
    (frame,) = frames(first_run.folder, first_run.made)
    assert frame.to_dict("records") == [
        {"id": "1", "name": "a", "_answer": {"big": 2**80}},
        {"id": "5", "name": "e", "_answer": "five"},
        {"id": "8", "name": "h", "_answer": "eight"},
    ]


def test_a_kept_row_keeps_how_often_it_was_called(first_run):
    first_run.redrive("manual__2")
    assert first_run.settled()[0].attempts == 2


def test_answers_that_are_kept_come_only_where_they_are_asked_for(first_run):
    first_run.redrive("manual__2")
    with_answer, without = first_run.settled(answers=True)[0], first_run.settled(answers=False)[0]
    assert (with_answer.answer, without.answer) == ({"big": 2**80}, None)
    assert (with_answer.size > 0, without.size) == (True, 0)


def test_the_plan_says_which_run_was_taken_over_and_how_much_of_it(first_run):
    earlier = first_run.made
    first_run.redrive("manual__2")
    made = first_run.made
    assert (made.retry_failed_of, made.kept, made.to_call, made.rows) == ("manual__1", 1, 4, 8)
    for name in ("source", "key", "limit"):
        assert getattr(made, name) == getattr(earlier, name)


def test_the_choices_of_the_new_run_are_its_own(first_run, tmp_path):
    first_run.redrive("manual__2", output=tmp_path / "other.json", rate_limit="5/second", max_calls=2, deadline=60.0)
    made = first_run.made
    assert (made.output, made.rate_limit, made.max_calls, made.deadline) == (
        str(tmp_path / "other.json"),
        "5/second",
        2,
        60.0,
    )


def test_a_source_that_has_changed_or_gone_since_changes_nothing(first_run):
    content = SOURCE.encode()
    first_run.source.unlink()
    first_run.redrive("manual__2")
    assert first_run.folder.input.read_bytes() == content
    assert first_run.made.source.sha256 == hashlib.sha256(content).hexdigest()
    assert len(to_call(first_run)) == 4


def test_the_earlier_runs_folder_may_be_removed_afterwards(first_run):
    earlier = first_run.folder
    first_run.redrive("manual__2", **ONE_CHUNK)
    remove_folder(earlier.path)
    first_run.answered(*(Entry(n, OK, 1, answer=n) for n in (3, 5, 7, 8)))
    assert [(row.number, row.answer) for row in first_run.settled() if row.status is OK] == [
        (1, {"big": 2**80}),
        (3, 3),
        (5, 5),
        (7, 7),
        (8, 8),
    ]


def test_the_earlier_run_is_left_as_it_was(first_run):
    earlier, before = first_run.folder, ends(first_run)
    first_run.redrive("manual__2")
    first_run.answered(Entry(3, OK, 1, answer=3))
    first_run.folder = earlier
    assert ends(first_run) == before


def test_a_redrive_can_be_redriven(first_run):
    first_run.redrive("manual__2", **ONE_CHUNK)
    first_run.answered(Entry(3, OK, 1, answer=3), Entry(7, RETRY, 4, "500"))
    first_run.redrive("manual__3", **ONE_CHUNK)
    assert [n for n, _, _ in to_call(first_run)] == [5, 7, 8]
    first_run.answered(*(Entry(n, OK, 1, answer=n) for n in (5, 8)))
    first_run.redrive("manual__4", **ONE_CHUNK)
    assert [n for n, _, _ in to_call(first_run)] == [7]
    assert (first_run.made.retry_failed_of, first_run.made.kept) == ("manual__3", 4)
    first_run.answered(Entry(7, OK, 1, answer=7))
    assert [(row.number, row.answer) for row in first_run.settled()] == [
        (1, {"big": 2**80}),
        (2, None),
        (3, 3),
        (4, None),
        (5, 5),
        (6, None),
        (7, 7),
        (8, 8),
    ]


def test_a_redrive_of_a_run_with_nothing_left_has_nothing_to_call(planning):
    planning.plan("id\n1\n2\n", **ONE_CHUNK)
    planning.answered(Entry(1, OK, 1, answer=1), Entry(2, OK, 1, answer=2))
    assert planning.redrive("manual__2") == []
    assert (planning.made.to_call, planning.made.kept) == (0, 2)
    assert [row.answer for row in planning.settled()] == [1, 2]


def test_few_rows_of_many_are_a_task_each(planning):
    planning.plan("id\n" + "".join(f"{n}\n" for n in range(1, 101)), tasks=1)
    planning.answered(*(Entry(n, OK, 1) for n in range(1, 101) if n not in (7, 70)))
    chunks = planning.redrive("manual__2")
    assert [(chunk.label, chunk.first_row, chunk.last_row, chunk.rows) for chunk in chunks] == [
        ("7", 7, 7, 1),
        ("70", 70, 70, 1),
    ]


def test_a_chunk_of_a_redrive_may_have_gaps(planning):
    planning.plan("id\n" + "".join(f"{n}\n" for n in range(1, 101)), tasks=1)
    planning.answered(*(Entry(n, OK, 1, answer=n) for n in range(1, 101) if n % 10))
    (chunk,) = planning.redrive("manual__2", **ONE_CHUNK)
    assert (chunk.label, chunk.first_row, chunk.last_row, chunk.rows) == ("rows 10-100", 10, 100, 10)
    planning.answered(*(Entry(n, OK, 1, answer=n) for n in range(10, 101, 10)))
    assert [row.answer for row in planning.settled()] == list(range(1, 101))


def test_a_dry_run_of_a_redrive_says_what_would_be_called(first_run):
    assert first_run.redrive("manual__2", dry_run=True) == []
    assert (first_run.made.dry_run, first_run.made.to_call, first_run.made.kept) == (True, 4, 1)


def test_a_dry_run_cannot_be_taken_over(planning):
    planning.plan(SOURCE, dry_run=True)
    with pytest.raises(BadInputError) as caught:
        planning.redrive("manual__2")
    assert str(caught.value) == "retry_failed_of is `manual__1`: a dry run, in which nothing was called"


def test_a_run_that_never_had_a_plan_cannot_be_taken_over(planning):
    earlier = planning.folder.path
    planning.write(SOURCE)
    with pytest.raises(BadInputError, match=f"no plan .*{earlier}"):
        planning.redrive("manual__2")


def test_an_output_of_a_redrive_that_would_overwrite_the_source_is_refused(planning):
    planning.plan(SOURCE, **ONE_CHUNK)
    with pytest.raises(ConfigError, match="the source itself"):
        planning.redrive("manual__2", output=planning.source)


def test_limit_and_rows_beyond_it_stay_as_they_were(planning):
    planning.plan(SOURCE, limit=3, **ONE_CHUNK)
    planning.redrive("manual__2")
    assert (planning.made.limit, planning.made.rows) == (3, 3)
    assert [row.number for row in planning.settled()] == [1, 2, 3]


def test_rows_that_are_kept_are_no_calls_of_this_run(first_run):
    first_run.redrive("manual__2", **{"pipeline": {"single_rows": 0}, "tasks": 1})
    first_run.answered(Entry(3, OK, 1, answer=3), Entry(5, RETRY, 1, "500"))
    first_run.answered(Entry(5, OK, 2, answer=5), try_number=2)
    found = tally(first_run.folder, first_run.made)
    assert (found.counts.ok, found.calls, found.retries) == (3, 3, 1)

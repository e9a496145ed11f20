"""The row ledger."""

import json
import math

import pytest

from include.enrichment.ledger import Entry, Segment, read_segment, read_segments, standing
from include.enrichment.models import RowStatus

OK, FAILED, RETRY = RowStatus.OK, RowStatus.FAILED, RowStatus.RETRY


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def write(folder, *entries, chunk=0, try_number=1):
    with Segment(folder, chunk, try_number) as segment:
        for entry in entries:
            segment.append(entry)


def test_what_was_appended_is_read_back_in_order(folder):
    entries = [
        Entry(1, OK, 1, answer={"population": 31889923}),
        Entry(2, RETRY, 1, "500: `down`"),
        Entry(3, FAILED, 2, "404: `no such`"),
    ]
    write(folder, *entries)
    assert list(read_segments(folder, 0)) == entries


@pytest.mark.parametrize("answer", [None, [], {}, 0, False, "", "Ёлка 🎄", 2**80, 0.1, [1, {"a": [None]}], "\ud800"])
def test_an_answer_comes_back_as_it_was(folder, answer):
    write(folder, Entry(1, OK, 1, answer=answer))
    found = next(read_segments(folder, 0))
    assert found.answer == answer
    assert type(found.answer) is type(answer)


def test_an_answer_with_nan_comes_back_with_nan(folder):
    write(folder, Entry(1, OK, 1, answer={"a": math.nan, "b": math.inf}))
    found = next(read_segments(folder, 0)).answer
    assert math.isnan(found["a"])
    assert found["b"] == math.inf


def test_an_entry_is_readable_as_soon_as_it_is_appended(folder):
    with Segment(folder, 0, 1) as segment:
        segment.append(Entry(1, OK, 1, answer=5))
        assert [entry.n for entry in read_segments(folder, 0)] == [1]


def test_a_line_end_in_an_answer_does_not_end_its_line(folder):
    write(folder, Entry(1, OK, 1, answer="a\nb\u2028c"), Entry(2, OK, 1, answer="d"))
    assert [entry.answer for entry in read_segments(folder, 0)] == ["a\nb\u2028c", "d"]


@pytest.mark.parametrize("left", [1, 10, 30, -1])
def test_a_line_cut_off_by_a_kill_is_not_read(folder, left):
    write(folder, Entry(1, OK, 1, answer={"a": 12}), Entry(2, OK, 1, answer={"a": 12345}))
    path = next(folder.iterdir())
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second.rstrip(b"\n")[:left])
    assert [entry.n for entry in read_segments(folder, 0)] == [1]


def test_a_letter_cut_in_half_is_not_read(folder):
    (folder / "00000.001.jsonl").write_bytes('{"n": 1, "error": "Ё'.encode()[:-1])
    assert list(read_segments(folder, 0)) == []


def test_a_complete_line_without_its_line_end_is_read(folder):
    (folder / "00000.001.jsonl").write_bytes(b'{"n": 1, "status": "ok", "attempts": 1, "answer": 5}')
    assert [entry.answer for entry in read_segments(folder, 0)] == [5]


def test_the_same_try_opened_twice_keeps_both(folder):
    write(folder, Entry(1, OK, 1, answer="a"))
    write(folder, Entry(2, OK, 1, answer="b"))
    assert [entry.answer for entry in read_segments(folder, 0)] == ["a", "b"]


def test_the_same_try_opened_again_after_a_kill_loses_the_unfinished_line_only(folder):
    write(folder, Entry(1, OK, 1, answer="a"))
    path = next(folder.iterdir())
    path.write_bytes(path.read_bytes() + b'{"n": 2, "status": "o')
    write(folder, Entry(3, OK, 1, answer="c"))
    assert [entry.n for entry in read_segments(folder, 0)] == [1, 3]


def test_tries_are_read_oldest_first(folder):
    for try_number in (10, 2, 1):
        write(folder, Entry(1, RETRY, try_number, f"try {try_number}"), try_number=try_number)
    assert [entry.attempts for entry in read_segments(folder, 0)] == [1, 2, 10]


def test_the_newest_entry_of_a_row_counts(folder):
    write(folder, Entry(1, RETRY, 1, "500"), Entry(2, RETRY, 1, "500"), try_number=1)
    write(folder, Entry(1, OK, 2, answer=5), try_number=2)
    assert {n: (entry.status, entry.attempts) for n, entry in standing(folder, 0).items()} == {
        1: (OK, 2),
        2: (RETRY, 1),
    }


def test_how_rows_stand_is_told_without_their_answers(folder):
    write(folder, Entry(1, OK, 1, answer="x" * 1000))
    assert standing(folder, 0) == {1: Entry(1, OK, 1)}


def test_chunks_do_not_see_each_other(folder):
    write(folder, Entry(1, OK, 1, answer="a"), chunk=1)
    write(folder, Entry(2, OK, 1, answer="b"), chunk=11)
    assert list(standing(folder, 1)) == [1]
    assert list(standing(folder, 11)) == [2]


def test_a_chunk_never_called_has_no_entries(folder):
    assert standing(folder, 0) == {}


def test_a_segment_is_json_lines_in_ascii(folder):
    write(folder, Entry(1, OK, 1, answer="Ё"), Entry(2, FAILED, 1, "Ё"))
    lines = next(folder.iterdir()).read_bytes().decode("ascii").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"n": 1, "status": "ok", "attempts": 1, "answer": "Ё"},
        {"n": 2, "status": "failed", "attempts": 1, "error": "Ё"},
    ]


def test_an_entry_that_cannot_be_written_leaves_no_part_of_a_line(folder):
    with Segment(folder, 0, 1) as segment:
        with pytest.raises(TypeError):
            segment.append(Entry(1, OK, 1, answer=object()))
        segment.append(Entry(2, OK, 1, answer=5))
    assert [entry.n for entry in read_segment(next(folder.iterdir()))] == [2]

"""The row ledger."""

import asyncio
import errno
import itertools
import json
import math
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from upath import UPath

from include.common.errors import TransientError
from include.common.storage import listed
from include.enrichment import ledger
from include.enrichment.ledger import (
    MOST_ATTEMPTS,
    ChunkLedger,
    Entry,
    FileSegment,
    Waited,
    open_segment,
    read_entry,
)
from include.enrichment.models import Chunk, RowStatus

pytest_plugins = ["tests.s3"]

OK, FAILED, RETRY = RowStatus.OK, RowStatus.FAILED, RowStatus.RETRY
_places = itertools.count()


def chunk_of(first: int, last: int, index: int = 0) -> Chunk:
    return Chunk(index, f"rows {first}-{last}", first, last, last - first + 1, 0, 0)


@pytest.fixture(params=["local", "memory", "s3"])
def folder(request, tmp_path):
    """Where segments are kept: files, or objects of two kinds of bucket."""
    if request.param == "local":
        return tmp_path
    if request.param == "memory":
        return request.getfixturevalue("in_memory") / "segments"
    return request.getfixturevalue("bucket") / "segments"


def write(folder, *entries, chunk=0, try_number=1):
    async def append():
        async with open_segment(folder, chunk, try_number) as segment:
            for entry in entries:
                await segment.append(entry)

    asyncio.run(append())


def entries(folder, first=1, last=9, index=0, after_try=0) -> list[Entry]:
    """What the ledger of a chunk gives, in the order of the rows."""
    with ChunkLedger(folder, chunk_of(first, last, index), after_try) as ledger:
        return [read_entry(ledger.line(n)) for n in range(first, last + 1) if ledger.status(n)]


def test_every_call_that_ended_is_counted_and_what_the_calls_waited(folder):
    write(folder, Entry(1, RETRY, 1, "500"), Entry(2, OK, 1), Waited(30.5))
    write(folder, Entry(1, RETRY, 2, "500"), Entry(1, OK, 3), Waited(2.25), try_number=2)
    write(folder, Entry(12, OK, 1), chunk=1)
    with ChunkLedger(folder, chunk_of(1, 9)) as ledger:
        assert (ledger.calls, ledger.retries, ledger.waited) == (4, 2, 32.75)
        assert [ledger.attempts(n) for n in (1, 2, 3)] == [3, 1, 0]


def test_lines_that_say_nothing_are_no_calls_and_no_waits(folder):
    write(folder, Entry(1, OK, 1))
    name = "00000.001.ffffffffffffffff.00000009.jsonl" if not isinstance(folder, Path) else "00000.002.jsonl"
    (folder / name).write_bytes(b'{"waited": "long"}\n[]\n{"waited": [1]}\n7\n{"n": 2, "sta')
    with ChunkLedger(folder, chunk_of(1, 9)) as ledger:
        assert (ledger.calls, ledger.retries, ledger.waited) == (1, 0, 0.0)


def test_what_was_appended_is_read_back(folder):
    appended = [
        Entry(1, OK, 1, answer={"population": 31889923}),
        Entry(2, RETRY, 1, "500: `down`"),
        Entry(3, FAILED, 2, "404: `no such`"),
    ]
    write(folder, *appended)
    assert entries(folder) == appended


@pytest.mark.parametrize("answer", [None, [], {}, 0, False, "", "Ёлка 🎄", 2**80, 0.1, [1, {"a": [None]}], "\ud800"])
def test_an_answer_comes_back_as_it_was(tmp_path, answer):
    write(tmp_path, Entry(1, OK, 1, answer=answer))
    found = entries(tmp_path)[0]
    assert found.answer == answer
    assert type(found.answer) is type(answer)


def test_an_answer_with_nan_comes_back_with_nan(tmp_path):
    write(tmp_path, Entry(1, OK, 1, answer={"a": math.nan, "b": math.inf}))
    found = entries(tmp_path)[0].answer
    assert math.isnan(found["a"])
    assert found["b"] == math.inf


async def test_an_entry_is_there_as_soon_as_append_returns(folder):
    async with open_segment(folder, 0, 1) as segment:
        await segment.append(Entry(1, OK, 1, answer=5))
        assert await asyncio.to_thread(entries, folder) == [Entry(1, OK, 1, answer=5)]


def test_a_line_end_in_an_answer_does_not_end_its_line(folder):
    write(folder, Entry(1, OK, 1, answer="a\nb\u2028c"), Entry(2, OK, 1, answer="d"))
    assert [entry.answer for entry in entries(folder)] == ["a\nb\u2028c", "d"]


@pytest.mark.parametrize("left", [1, 10, 30, -1])
def test_a_line_cut_off_by_a_kill_is_passed_over(tmp_path, left):
    write(tmp_path, Entry(1, OK, 1, answer={"a": 12}), Entry(2, OK, 1, answer={"a": 12345}))
    path = next(tmp_path.iterdir())
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second.rstrip(b"\n")[:left])
    assert entries(tmp_path) == [Entry(1, OK, 1, answer={"a": 12})]


def test_a_letter_cut_in_half_is_passed_over(tmp_path):
    (tmp_path / "00000.001.jsonl").write_bytes('{"n": 1, "error": "Ё'.encode()[:-1])
    assert entries(tmp_path) == []


def test_a_complete_line_without_its_line_end_is_read(tmp_path):
    (tmp_path / "00000.001.jsonl").write_bytes(b'{"n": 1, "status": "ok", "attempts": 1, "answer": 5}')
    assert entries(tmp_path) == [Entry(1, OK, 1, answer=5)]


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\0\0\0\0",
        b"no JSON at all",
        b"null",
        b"[1, 2]",
        b'"text"',
        b"{}",
        b'{"n": 1}',
        b'{"n": 1, "status": "ok"}',
        b'{"n": 1, "status": "gone", "attempts": 1}',
        b'{"n": 1, "status": ["ok"], "attempts": 1}',
        b'{"n": 1, "status": "ok", "attempts": 1, "answer": "\xff"}',
    ],
)
def test_a_line_of_garbage_is_ignored_with_nothing_else_lost(folder, garbage):
    write(folder, Entry(1, FAILED, 1, "404"))
    good = Entry(2, OK, 1, answer=5).line()
    (folder / "00000.002.jsonl").write_bytes(garbage + b"\n" + good)
    assert entries(folder) == [Entry(1, FAILED, 1, "404"), Entry(2, OK, 1, answer=5)]


def test_entries_of_rows_outside_the_chunk_are_ignored(folder):
    write(folder, *(Entry(n, OK, 1, answer=n) for n in (-1, 0, 10, 11, 19, 20, 21, 10**12)))
    assert [entry.n for entry in entries(folder, first=11, last=20)] == [11, 19, 20]


def test_the_same_try_opened_twice_keeps_both(folder):
    write(folder, Entry(1, OK, 1, answer="a"))
    write(folder, Entry(2, OK, 1, answer="b"))
    assert [entry.answer for entry in entries(folder)] == ["a", "b"]


async def test_two_writers_of_the_same_try_do_not_overwrite_each_other(folder):
    async with open_segment(folder, 0, 1) as one, open_segment(folder, 0, 1) as other:
        for n in (1, 3, 5):
            await asyncio.gather(one.append(Entry(n, OK, 1)), other.append(Entry(n + 1, OK, 1)))
    assert [entry.n for entry in await asyncio.to_thread(entries, folder)] == [1, 2, 3, 4, 5, 6]


def test_the_same_try_opened_again_after_a_kill_loses_the_unfinished_line_only(tmp_path):
    write(tmp_path, Entry(1, OK, 1, answer="a"))
    path = next(tmp_path.iterdir())
    path.write_bytes(path.read_bytes() + b'{"n": 2, "status": "o')
    write(tmp_path, Entry(3, OK, 1, answer="c"))
    assert [entry.n for entry in entries(tmp_path)] == [1, 3]


def test_the_newest_entry_of_a_row_counts(folder):
    write(folder, Entry(1, RETRY, 1, "500"), Entry(2, RETRY, 1, "500"), Entry(2, RETRY, 2, "503"), try_number=1)
    write(folder, Entry(1, OK, 2, answer=5), try_number=2)
    assert entries(folder) == [Entry(1, OK, 2, answer=5), Entry(2, RETRY, 2, "503")]


def test_the_entry_of_a_later_try_counts_even_where_it_is_the_worse_one(folder):
    write(folder, Entry(1, OK, 1, answer=5), try_number=1)
    write(folder, Entry(1, FAILED, 2, "404"), try_number=2)
    assert entries(folder) == [Entry(1, FAILED, 2, "404")]


@pytest.mark.parametrize("tries", [(10, 2, 1), (1000, 999, 2), (10000, 9999, 1001)])
def test_tries_keep_their_order_however_long_their_numbers(folder, tries):
    for try_number in tries:
        write(folder, Entry(1, RETRY, try_number, f"try {try_number}"), try_number=try_number)
    assert entries(folder) == [Entry(1, RETRY, tries[0], f"try {tries[0]}")]


@pytest.mark.parametrize(("after_try", "rows"), [(0, [1, 2, 3]), (1, [2, 3]), (2, [3]), (1200, [])])
def test_tries_up_to_after_try_are_left_out(folder, after_try, rows):
    for n, try_number in ((1, 1), (2, 2), (3, 1200)):
        write(folder, Entry(n, OK, 1), try_number=try_number)
    assert [entry.n for entry in entries(folder, after_try=after_try)] == rows


def test_a_row_knows_how_it_stands_and_how_often_it_was_called(folder):
    write(folder, Entry(1, OK, 1), Entry(2, FAILED, 4, "500"))
    with ChunkLedger(folder, chunk_of(1, 3)) as ledger:
        assert [(ledger.status(n), ledger.attempts(n)) for n in (1, 2, 3)] == [(OK, 1), (FAILED, 4), (None, 0)]


def test_rows_are_counted_as_they_stand_now(folder):
    write(folder, *(Entry(n, RETRY, 1, "500") for n in range(1, 8)), try_number=1)
    write(folder, *(Entry(n, OK, 2) for n in (1, 2, 3)), Entry(4, FAILED, 2, "404"), try_number=2)
    with ChunkLedger(folder, chunk_of(1, 9)) as ledger:
        assert [ledger.count(status) for status in (OK, FAILED, RETRY)] == [3, 1, 3]


def test_more_attempts_than_can_be_counted_are_as_many_as_can(tmp_path):
    write(tmp_path, Entry(1, RETRY, 10**9, "500"))
    with ChunkLedger(tmp_path, chunk_of(1, 1)) as ledger:
        assert ledger.attempts(1) == MOST_ATTEMPTS


def test_chunks_do_not_see_each_other(folder):
    write(folder, Entry(1, OK, 1, answer="a"), chunk=1)
    write(folder, Entry(2, OK, 1, answer="b"), chunk=11)
    assert [entry.n for entry in entries(folder, index=1)] == [1]
    assert [entry.n for entry in entries(folder, index=11)] == [2]


def test_a_chunk_never_called_has_no_entries(folder):
    assert entries(folder) == []


def test_a_segment_is_json_lines(folder):
    write(folder, Entry(1, OK, 1, answer="Ё"), Entry(2, FAILED, 1, "Ё"))
    content = b"".join(path.read_bytes() for path in listed(folder))
    assert [json.loads(line) for line in content.splitlines()] == [
        {"n": 1, "status": "ok", "attempts": 1, "answer": "Ё"},
        {"n": 2, "status": "failed", "attempts": 1, "error": "Ё"},
    ]


async def test_an_entry_that_cannot_be_written_leaves_no_part_of_a_line(folder):
    async with open_segment(folder, 0, 1) as segment:
        with pytest.raises(TypeError):
            await segment.append(Entry(1, OK, 1, answer=object()))
        await segment.append(Entry(2, OK, 1, answer=5))
    assert await asyncio.to_thread(entries, folder) == [Entry(2, OK, 1, answer=5)]


async def test_a_folder_that_is_not_there_is_a_transient_error_with_the_place(tmp_path):
    with pytest.raises(TransientError, match=rf"kept in `{tmp_path}/none/00000.001.jsonl`: No such file"):
        async with open_segment(tmp_path / "none", 0, 1):
            pass


async def test_a_full_disk_is_a_transient_error_with_the_place(tmp_path):
    (tmp_path / "00000.001.jsonl").symlink_to("/dev/full")
    with pytest.raises(TransientError, match=rf"kept in `{tmp_path}/00000.001.jsonl`: No space left on device"):
        async with open_segment(tmp_path, 0, 1) as segment:
            await segment.append(Entry(1, OK, 1, answer=5))


async def test_a_bucket_that_is_not_there_is_a_transient_error_with_the_place(bucket):
    folder = UPath("s3://no-such-bucket", **bucket.storage_options) / "segments"
    with pytest.raises(TransientError, match=r"kept in `s3://no-such-bucket/segments/00000\.001\..*bucket"):
        async with open_segment(folder, 0, 1) as segment:
            await segment.append(Entry(1, OK, 1, answer=5))


class HeldFolder:
    """A folder of a bucket that keeps each object when it is let to, or refuses it."""

    def __init__(self):
        self.objects = {}
        self.begun = threading.Semaphore(0)
        self.let = threading.Event()
        self.refusal = None

    def __truediv__(self, name):
        return HeldObject(self, name)

    async def writing(self):
        """Returns when the next object is being written."""
        assert await asyncio.to_thread(self.begun.acquire, timeout=10)

    def rows(self):
        """The rows of each object."""
        return [[json.loads(line)["n"] for line in content.splitlines()] for content in self.objects.values()]


class HeldObject:
    def __init__(self, folder, name):
        self.folder, self.name = folder, name

    def __str__(self):
        return f"s3://held/{self.name}"

    def write_bytes(self, content):
        self.folder.begun.release()
        assert self.folder.let.wait(10)
        if self.folder.refusal:
            raise self.folder.refusal
        assert self.name not in self.folder.objects
        self.folder.objects[self.name] = content


async def appending(segment, rows):
    """Appends that are under way, one a row."""
    tasks = [asyncio.create_task(segment.append(Entry(n, OK, 1))) for n in rows]
    await asyncio.sleep(0)
    return tasks


async def test_appends_that_come_while_an_object_is_written_share_the_next(tmp_path):
    held = HeldFolder()
    async with open_segment(held, 0, 1) as segment:
        tasks = await appending(segment, [1])
        await held.writing()
        tasks += await appending(segment, range(2, 101))
        held.let.set()
        await asyncio.gather(*tasks)
    assert held.rows() == [[1], list(range(2, 101))]


async def test_append_does_not_return_before_its_object_is_there():
    held = HeldFolder()
    async with open_segment(held, 0, 1) as segment:
        tasks = await appending(segment, [1])
        await held.writing()
        tasks += await appending(segment, [2])
        assert [task.done() for task in tasks] == [False, False]
        held.let.set()
        await tasks[0]
        assert held.rows()[0] == [1]
        await tasks[1]
        assert held.rows() == [[1], [2]]


async def test_appends_one_behind_the_other_are_an_object_each(in_memory):
    async with open_segment(in_memory, 0, 1) as segment:
        for n in (1, 2, 3):
            await segment.append(Entry(n, OK, 1))
            assert len(listed(in_memory)) == n


async def test_a_failed_write_is_told_to_every_append_that_waits_for_it():
    held = HeldFolder()
    held.refusal = OSError(errno.ENOSPC, "No space left on device")
    async with open_segment(held, 0, 1) as segment:
        tasks = await appending(segment, [1])
        await held.writing()
        tasks += await appending(segment, [2, 3])
        held.let.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in found] == [TransientError] * 3
    assert all(
        str(error).startswith("the answers cannot be kept in `s3://held/00000.001.")
        and str(error).endswith(".jsonl`: No space left on device")
        for error in found
    )


async def test_a_write_that_failed_does_not_keep_later_ones_from_their_place():
    held = HeldFolder()
    held.let.set()
    held.refusal = OSError("reset by peer")
    async with open_segment(held, 0, 1) as segment:
        with pytest.raises(TransientError, match="reset by peer"):
            await segment.append(Entry(1, OK, 1))
        held.refusal = None
        await segment.append(Entry(2, OK, 1))
    assert held.rows() == [[2]]


async def test_what_a_cancelled_append_handed_over_is_kept_all_the_same():
    held = HeldFolder()
    async with open_segment(held, 0, 1) as segment:
        first, second = await appending(segment, [1]) + await appending(segment, [2])
        await held.writing()
        third = (await appending(segment, [3]))[0]
        for task in (first, second, third):
            task.cancel()
        await asyncio.gather(first, second, third, return_exceptions=True)
        held.let.set()
    assert [n for rows in held.rows() for n in rows] == [1, 2, 3]


def test_a_chunk_of_more_objects_than_are_fetched_at_once_is_read_whole(in_memory):
    for n in range(1, 201):
        (in_memory / f"00000.001.0000000000000001.{n:08d}.jsonl").write_bytes(Entry(n, OK, 1, answer=n).line())
    assert [entry.answer for entry in entries(in_memory, last=200)] == list(range(1, 201))


def test_objects_of_one_writer_count_in_the_order_of_their_numbers(in_memory):
    for number in (11, 9, 100, 2):
        line = Entry(1, RETRY, number, "500").line()
        (in_memory / f"00000.001.0000000000000001.{number:08d}.jsonl").write_bytes(line)
    assert entries(in_memory) == [Entry(1, RETRY, 100, "500")]


ENTRIES = st.builds(
    lambda n, status, attempts, word: (
        Entry(n, status, attempts, answer=word) if status is OK else Entry(n, status, attempts, word)
    ),
    st.integers(1, 12),
    st.sampled_from([OK, FAILED, RETRY]),
    st.integers(0, 5000),
    st.text(max_size=5),
)
SEGMENTS = st.lists(st.tuples(st.sampled_from([1, 2, 9, 10, 999, 1000]), st.lists(ENTRIES, max_size=6)), max_size=6)


@pytest.mark.parametrize("local", [True, False])
@given(segments=SEGMENTS, after_try=st.sampled_from([0, 0, 1, 9, 999]))
def test_the_ledger_is_a_dict_of_the_newest_entries(local, segments, after_try):
    with tempfile.TemporaryDirectory() as name:
        place = Path(name) if local else UPath(f"memory://ledger-{next(_places)}")
        expected: dict[int, Entry] = {}
        for try_number, appended in segments:
            write(place, *appended, try_number=try_number)
        for try_number, appended in sorted(segments, key=lambda pair: pair[0]):
            expected |= {entry.n: entry for entry in appended if try_number > after_try and 3 <= entry.n <= 10}
        with ChunkLedger(place, chunk_of(3, 10), after_try) as ledger:
            assert {n: read_entry(ledger.line(n)) for n in range(3, 11) if ledger.status(n)} == expected
            assert {n: ledger.attempts(n) for n in expected} == {n: entry.attempts for n, entry in expected.items()}
            for status in (OK, FAILED, RETRY):
                assert ledger.count(status) == sum(entry.status is status for entry in expected.values())


@pytest.mark.parametrize(
    "line",
    [
        b'{"n": "1", "status": "ok", "attempts": 1}',
        b'{"n": 1.5, "status": "ok", "attempts": 1}',
        b'{"n": 1, "status": "ok", "attempts": -1}',
        b'{"n": 1, "status": "skipped", "attempts": 1}',
        b"[" * 100_000,
        b"[1]",
    ],
)
def test_json_that_is_none_of_ours_is_no_entry(line):
    assert read_entry(line) is None


def test_a_file_with_another_name_is_no_segment(tmp_path):
    (tmp_path / "00000.copy.jsonl").write_bytes(Entry(1, OK, 1, answer=1).line())
    with ChunkLedger(tmp_path, Chunk(0, "", 1, 1, 1, 0, 0)) as ledger:
        assert ledger.status(1) is None


async def test_answers_are_brought_to_the_disk_a_second_after_they_came_and_at_the_end(tmp_path, monkeypatch):
    slept, wake, synced = [], asyncio.Event(), []
    loop, at_disk = asyncio.get_running_loop(), asyncio.Event()

    def fsync(_):
        synced.append((tmp_path / "s.jsonl").read_bytes().count(b"\n"))
        loop.call_soon_threadsafe(at_disk.set)

    async def sleep(seconds):
        slept.append(seconds)
        await wake.wait()

    monkeypatch.setattr(ledger.os, "fsync", fsync)
    async with FileSegment(tmp_path / "s.jsonl", sleep) as segment:
        for number in range(3):
            await segment.append(Entry(number, RowStatus.OK, 1, answer=number))
            await asyncio.sleep(0)
        assert (slept, synced) == ([ledger.SYNC_EVERY], [])
        wake.set()
        await at_disk.wait()
        await segment.append(Entry(3, RowStatus.OK, 1, answer=3))
    assert (synced[0], synced[-1]) == (3, 4)

"""The row files of a run, `rows.jsonl`, `rejects.jsonl` and `kept.jsonl`: `plan` writes them, the other tasks read."""

import itertools
import math
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from include.common.jsontext import decode, encode_line
from include.common.storage import COPY_BYTES, open_to_read
from include.common.text import shown
from include.enrichment.models import Chunk, RowStatus
from include.enrichment.run import RunFolder


class RowToCall(NamedTuple):
    """A row to be called: its number from 1, its key, and its values in column order."""

    n: int
    key: str
    values: list[str]


class Reject(NamedTuple):
    """A row that is not called: one that cannot be read has failed, another is skipped; `error` says why."""

    n: int
    status: RowStatus
    error: str
    values: list[str]


class Kept(NamedTuple):
    """A row that an earlier run answered after `attempts` calls; `size` is about its answer's, in bytes."""

    n: int
    values: list[str]
    attempts: int
    answer: Any
    size: int


class RowWriter:
    """Writes the row files of `folder` into `work`, a local folder. Use as a context manager.

    `rows` counts all that were written, `kept` those with an answer; `marks` has the rows to call.
    """

    def __init__(self, work: Path, folder: RunFolder) -> None:
        self.rows = 0
        self.kept = 0
        self.marks = Marks()
        self._files = ExitStack()
        self._to_call, self._rejects, self._kept = (
            self._files.enter_context((work / path.name).open("wb"))
            for path in (folder.rows, folder.rejects, folder.kept)
        )

    def __enter__(self) -> "RowWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def call(self, n: int, key: str, values: list[str]) -> None:
        """The next row is to be called."""
        line = encode_line({"n": n, "key": key, "v": values})
        self._to_call.write(line)
        self.marks.add(n, key, len(line))
        self.rows += 1

    def reject(self, n: int, status: RowStatus, error: str, values: list[str]) -> None:
        """The next row is not."""
        self._rejects.write(encode_line({"n": n, "status": status, "error": error, "v": values}))
        self.rows += 1

    def keep(self, n: int, values: list[str], attempts: int, answer: Any) -> None:
        """The next row has its answer."""
        self._kept.write(encode_line({"n": n, "v": values, "attempts": attempts, "answer": answer}))
        self.rows += 1
        self.kept += 1


@dataclass(frozen=True)
class _Mark:
    offset: int
    number: int
    previous: int
    key: str


class Marks:
    """Where rows start in `rows.jsonl`: at most `MOST` places, evenly spread, however many rows there are."""

    MOST = 4096

    def __init__(self) -> None:
        self.rows = 0
        self._stride = 1
        self._marks: list[_Mark] = []
        self._end = 0
        self._last = 0

    def add(self, number: int, key: str, length: int) -> None:
        """A row of `length` bytes follows."""
        if self.rows % self._stride == 0:
            if len(self._marks) == self.MOST:
                self._marks = self._marks[::2]
                self._stride *= 2
            if self.rows % self._stride == 0:
                self._marks.append(_Mark(self._end, number, self._last, key))
        self.rows += 1
        self._end += length
        self._last = number

    def chunks(self, tasks: int) -> list[Chunk]:
        """About `tasks` chunks of equal size, in order."""
        if not self.rows:
            return []
        step = max(1, math.ceil(self.rows / tasks / self._stride))
        starts = self._marks[::step]
        ends = [*starts[1:], _Mark(self._end, 0, self._last, "")]
        chunks = []
        for index, (start, end) in enumerate(zip(starts, ends, strict=True)):
            rows = min(step * self._stride, self.rows - index * step * self._stride)
            label = shown(start.key) if rows == 1 else f"rows {start.number}-{end.previous}"
            length = end.offset - start.offset
            chunks.append(Chunk(index, label, start.number, end.previous, rows, start.offset, length))
        return chunks


def open_rows(folder: RunFolder, chunk: Chunk) -> BinaryIO:
    """The run's `rows.jsonl` at the chunk's first row; of a bucket's, the chunk's part as a file of this machine."""
    stream = open_to_read(folder.rows)
    stream.seek(chunk.offset)
    if isinstance(folder.rows, Path):
        return stream
    with stream:
        copy = tempfile.TemporaryFile()  # noqa: SIM115 (closed by whoever reads it)
        left = chunk.length
        while left and (part := stream.read(min(left, COPY_BYTES))):
            copy.write(part)
            left -= len(part)
        copy.seek(0)
        return copy


def read_rows(rows: BinaryIO, chunk: Chunk) -> Iterator[RowToCall]:
    """The chunk's rows, from an open `rows.jsonl` at the first of them."""
    for line in itertools.islice(rows, chunk.rows):
        found = decode(line)
        yield RowToCall(found["n"], found["key"], found["v"])


def read_rejects(folder: RunFolder) -> Iterator[Reject]:
    """The rows that are not called, in order."""
    with open_to_read(folder.rejects) as lines:
        for line in lines:
            found = decode(line)
            yield Reject(found["n"], RowStatus(found["status"]), found["error"], found["v"])


def read_kept(folder: RunFolder) -> Iterator[Kept]:
    """The rows with the answers of an earlier run, in order."""
    with open_to_read(folder.kept) as lines:
        for line in lines:
            found = decode(line)
            yield Kept(found["n"], found["v"], found["attempts"], found["answer"], len(line))

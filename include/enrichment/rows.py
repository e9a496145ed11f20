"""The rows to call: `rows.jsonl`, cut into chunks while it is written, and read again a chunk at a time."""

import itertools
import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from include.common.jsontext import decode
from include.common.storage import COPY_BYTES, open_to_read
from include.enrichment.models import Chunk
from include.enrichment.run import RunFolder


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
            label = start.key if rows == 1 else f"rows {start.number}-{end.previous}"
            length = end.offset - start.offset
            chunks.append(Chunk(index, label, start.number, end.previous, rows, start.offset, length))
        return chunks


def read_rows(rows: BinaryIO, chunk: Chunk) -> Iterator[dict[str, Any]]:
    """The chunk's rows as `plan` wrote them: `n` the row's number, `key`, `v` the values in column order."""
    for line in itertools.islice(rows, chunk.rows):
        yield decode(line)


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

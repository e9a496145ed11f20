"""The row ledger: every call's end is appended to a segment as it comes, so that no retry repeats an answered row.

A segment is a file of one try of one chunk, `<chunk>.<try>.jsonl`; in a chunk the newest entry of a row counts. A task
that is killed leaves at most one unfinished line, which is not read.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from include.enrichment.models import RowStatus


@dataclass(frozen=True)
class Entry:
    """How row `n` stands after `attempts` calls: the answer where it is ok, else the last error."""

    n: int
    status: RowStatus
    attempts: int
    error: str | None = None
    answer: Any = None


class Segment:
    """The entries of one try of one chunk, open for appending."""

    def __init__(self, folder: Path, chunk: int, try_number: int) -> None:
        path = folder / f"{chunk:05d}.{try_number:03d}.jsonl"
        self._stream: BinaryIO = path.open("ab")
        if self._stream.tell():  # the same try twice (a lost task found again): finish the line that a kill cut off
            self._stream.write(b"\n")

    def __enter__(self) -> "Segment":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def append(self, entry: Entry) -> None:
        """Hand the entry to the operating system: from here on it survives the end of this process."""
        fields = {"n": entry.n, "status": entry.status, "attempts": entry.attempts}
        if entry.status is RowStatus.OK:
            fields["answer"] = entry.answer
        else:
            fields["error"] = entry.error
        self._stream.write(json.dumps(fields).encode() + b"\n")
        self._stream.flush()


def read_segments(folder: Path, chunk: int) -> Iterator[Entry]:
    """The entries of a chunk, oldest first; a row may come more than once."""
    for path in sorted(folder.glob(f"{chunk:05d}.*.jsonl")):
        yield from read_segment(path)


def read_segment(path: Path) -> Iterator[Entry]:
    """The entries of one segment; a line cut off by a kill is passed over."""
    with path.open("rb") as stream:
        for line in stream:
            try:
                found = json.loads(line)
            except ValueError:
                continue
            yield Entry(
                found["n"], RowStatus(found["status"]), found["attempts"], found.get("error"), found.get("answer")
            )


def standing(folder: Path, chunk: int) -> dict[int, Entry]:
    """How each row of a chunk stands, without its answer (which may be large)."""
    return {
        entry.n: Entry(entry.n, entry.status, entry.attempts, entry.error) for entry in read_segments(folder, chunk)
    }

"""The row ledger: every call's end is written to a segment as it comes, so that no retry repeats an answered row.

A segment belongs to one try of one chunk: a file `<chunk>.<try>.jsonl` that is appended to, or in a bucket small
objects `<chunk>.<try>.<writer>.<number>.jsonl`. Of several entries of a row the newest counts. A task that is killed
leaves at most one unfinished line, which is not read.
"""

import asyncio
import bisect
import itertools
import os
import tempfile
import time
from array import array
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

from include.common.errors import TransientError
from include.common.jsontext import decode, encode_line
from include.common.storage import Place, listed, reaching
from include.enrichment.models import Chunk, RowStatus

# Seconds that an answer may be the operating system's alone: what a power cut can take beside the calls in flight.
SYNC_EVERY = 1.0
# Objects of a bucket that are fetched at the same time.
FETCHED_AT_ONCE = 64
_STATUSES = (None, RowStatus.OK, RowStatus.FAILED, RowStatus.RETRY)
_CODES = {status: code for code, status in enumerate(_STATUSES)}
MOST_ATTEMPTS = 65535


class Entry(NamedTuple):
    """How row `n` stands after `attempts` calls: the answer where it is ok, else the last error."""

    n: int
    status: RowStatus
    attempts: int
    error: str | None = None
    answer: Any = None

    def line(self) -> bytes:
        """As one line of a segment."""
        fields: dict[str, Any] = {"n": self.n, "status": self.status, "attempts": self.attempts}
        if self.status is RowStatus.OK:
            fields["answer"] = self.answer
        else:
            fields["error"] = self.error
        return encode_line(fields)


class Waited(NamedTuple):
    """How many seconds the calls of a try waited for the rate limit, all together."""

    seconds: float

    def line(self) -> bytes:
        """As one line of a segment."""
        return encode_line({"waited": self.seconds})


class Line(Protocol):
    """What a segment is told."""

    def line(self) -> bytes: ...


class Segment(Protocol):
    """The entries of one try of one chunk, open for writing. Use as an async context manager."""

    async def __aenter__(self) -> "Segment": ...

    async def __aexit__(self, *_: object) -> None: ...

    async def append(self, entry: Line) -> None:
        """Returns once the entry survives the end of this process; `TransientError` where it could not be kept."""


def open_segment(folder: Place, chunk: int, try_number: int) -> Segment:
    """A segment in `folder`, which exists."""
    name = f"{chunk:05d}.{try_number:03d}"
    if isinstance(folder, Path):
        return FileSegment(folder / f"{name}.jsonl")
    return ObjectSegment(folder, name)


class FileSegment:
    """A segment as a local file; an entry is kept once the operating system has it, and a second later on the disk.

    `sleep` takes seconds.
    """

    def __init__(self, path: Path, sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep) -> None:
        self._path, self._sleep = path, sleep
        self._unsynced = False
        self._syncing: asyncio.Task[None] | None = None
        self._at_disk: asyncio.Future[None] | None = None

    async def __aenter__(self) -> "FileSegment":
        try:
            self._stream: BinaryIO = self._path.open("ab")
            if self._stream.tell():  # the same try twice (a lost task found again): finish a line that a kill cut off
                self._stream.write(b"\n")
        except OSError as error:
            raise _unwritten(self._path, error) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._syncing:
            self._syncing.cancel()
        if self._at_disk:  # a thread is not ended by it
            await asyncio.wait([self._at_disk])
        try:
            self._stream.flush()
            await asyncio.to_thread(os.fsync, self._stream.fileno())
            self._stream.close()
        except OSError as error:  # what could not be written before
            raise _unwritten(self._path, error) from error

    async def append(self, entry: Line) -> None:
        """See `Segment`."""
        try:
            self._stream.write(entry.line())
            self._stream.flush()
        except OSError as error:
            raise _unwritten(self._path, error) from error
        self._unsynced = True
        if self._syncing is None or self._syncing.done():
            self._syncing = asyncio.create_task(self._sync())

    async def _sync(self) -> None:
        """Bring to the disk what has come, as long as anything comes; in a thread, for the calls go on."""
        while self._unsynced:
            await self._sleep(SYNC_EVERY)
            self._unsynced = False
            self._at_disk = asyncio.ensure_future(asyncio.to_thread(os.fsync, self._stream.fileno()))
            await asyncio.shield(self._at_disk)


class ObjectSegment:
    """A segment as small objects of a bucket: what comes while one is written goes into the next.

    `append` returns when its object is there, so a kill loses no more than the calls that wait for it.
    """

    def __init__(self, folder: Place, name: str) -> None:
        # Two writers of one try (a lost task found again) must not write over each other.
        self._name = f"{name}.{time.time_ns():016x}"
        self._folder = folder
        self._numbers = itertools.count()
        self._lines: list[bytes] = []
        self._next: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()

    async def __aenter__(self) -> "ObjectSegment":
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._next:
            await self._next
        async with self._writing:  # what a cancelled caller no longer waits for
            pass

    async def append(self, entry: Line) -> None:
        """See `Segment`."""
        self._lines.append(entry.line())
        if self._next is None:
            self._next = asyncio.create_task(self._write())
        await asyncio.shield(self._next)

    async def _write(self) -> None:
        async with self._writing:
            lines, self._lines, self._next = self._lines, [], None
            target = self._folder / f"{self._name}.{next(self._numbers):08d}.jsonl"
            try:
                await asyncio.to_thread(target.write_bytes, b"".join(lines))
            except Exception as error:
                raise _unwritten(target, error) from error


def _unwritten(path: Place, error: Exception) -> TransientError:
    return TransientError(f"the answers cannot be kept in `{path}`: {getattr(error, 'strerror', None) or error}")


class ChunkLedger:
    """The newest entry of each row of one chunk, in 11 bytes of memory a row. Use as a context manager.

    `after_try` leaves out the tries up to that one. `OSError` where the segments cannot be read.
    """

    def __init__(self, folder: Place, chunk: Chunk, after_try: int = 0) -> None:
        self._first = chunk.first_row
        span = chunk.last_row - chunk.first_row + 1
        self._codes = bytearray(span)
        self._attempts = array("H", bytes(2 * span))
        self._where = array("q", bytes(8 * span))
        self._streams: list[BinaryIO] = []
        self._starts: list[int] = []  # of each stream, as if they stood one behind the other
        self.calls = 0  # that have ended, over all tries
        self.waited = 0.0  # seconds that they waited for the rate limit, all together
        named = [path for path in listed(folder, f"{chunk.index:05d}.*.jsonl") if path.name.split(".")[1].isdecimal()]
        found = [path for path in named if _order(path)[0] > after_try]
        self._read(sorted(found, key=_order))

    def __enter__(self) -> "ChunkLedger":
        return self

    def __exit__(self, *_: object) -> None:
        for stream in self._streams:
            stream.close()

    def status(self, n: int) -> RowStatus | None:
        """How row `n` stands; None where no call of it has ended."""
        return _STATUSES[self._codes[n - self._first]]

    def attempts(self, n: int) -> int:
        """How often row `n` was called."""
        return self._attempts[n - self._first]

    def line(self, n: int) -> bytes:
        """The newest entry of row `n`, which has one, as it was written; `read_entry` reads it."""
        where = self._where[n - self._first]
        index = bisect.bisect(self._starts, where) - 1
        self._streams[index].seek(where - self._starts[index])
        return self._streams[index].readline()

    def count(self, status: RowStatus) -> int:
        """How many rows stand like this."""
        return self._codes.count(_CODES[status])

    @property
    def retries(self) -> int:
        """How many of the calls were beyond a row's first."""
        return self.calls - (len(self._codes) - self._codes.count(_CODES[None]))

    def _read(self, paths: list[Place]) -> None:
        start = 0
        for stream in _opened(paths):
            self._streams.append(stream)
            self._starts.append(start)
            position = 0
            for line in stream:
                if entry := read_entry(line):
                    self._note(entry, start + position)
                else:
                    self.waited += _seconds_waited(line)
                position += len(line)
            start += position

    def _note(self, entry: Entry, where: int) -> None:
        index = entry.n - self._first
        if 0 <= index < len(self._codes):
            self.calls += 1
            self._codes[index] = _CODES[entry.status]
            self._attempts[index] = min(entry.attempts, MOST_ATTEMPTS)
            self._where[index] = where


def _order(path: Place) -> tuple[int, list[str]]:
    """Older segments first: the try, then who wrote it when, and the object's number."""
    _, number, *rest, _ = path.name.split(".")
    return int(number), rest


def _opened(paths: list[Place]) -> Iterator[BinaryIO]:
    """The segments as local files: themselves, or one that the objects of a bucket are fetched into."""
    yield from (path.open("rb") for path in paths if isinstance(path, Path))
    objects = [path for path in paths if not isinstance(path, Path)]
    if not objects:
        return
    fetched = tempfile.TemporaryFile()  # noqa: SIM115 (closed by the ledger)
    names = [path.path for path in objects]
    for start in range(0, len(names), FETCHED_AT_ONCE):
        batch = names[start : start + FETCHED_AT_ONCE]
        with reaching(objects[start]):
            found = objects[0].fs.cat(batch)
        contents = found if isinstance(found, dict) else {batch[0]: found}
        for name in batch:
            fetched.write(contents[name])
    fetched.seek(0)
    yield fetched


def read_entry(line: bytes) -> Entry | None:
    """An entry from its line; None for a line that a kill cut off, or that is none of ours."""
    try:
        found = decode(line)
        n, status, attempts = found["n"], RowStatus(found["status"]), found["attempts"]
    except (ValueError, TypeError, KeyError):
        return None
    whole = type(n) is int and type(attempts) is int and attempts >= 0 and status in _CODES
    return Entry(n, status, attempts, found.get("error"), found.get("answer")) if whole else None


def _seconds_waited(line: bytes) -> float:
    """What a line says of waiting; 0 for one that says nothing of it."""
    try:
        return float(decode(line)["waited"])
    except (ValueError, TypeError, KeyError):
        return 0.0

"""Planning a run: check and snapshot the CSV, set aside the rows that cannot be called, cut the rest into chunks."""

import errno
import hashlib
import itertools
import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from include.common.errors import BadInputError, ConfigError
from include.common.jsontext import decode, encode
from include.common.rate_limit import Rate, parse_rate
from include.common.storage import COPY_BYTES, Place, open_to_read, remove_folder, scratch
from include.common.templates import quoted
from include.enrichment.keys import SeenKeys
from include.enrichment.models import Chunk, Pipeline, RowStatus, carried_outcome, check_output
from include.enrichment.reader import CsvFile, Row, detect
from include.enrichment.results import settle
from include.enrichment.run import Plan, RunFolder
from include.enrichment.transforms import ANSWER

# Seconds between two calls from which on tasks mostly wait: more of them, or a row a task, would only hold workers.
SLOW = 1.0


@dataclass(frozen=True)
class Job:
    """What a run was asked for: absolute places, and the run's own choices over the pipeline's.

    `retry` is the folder of an earlier run whose answers are kept and whose other rows are called; `source`, `key` and
    `limit` are that run's then. `deadline` is in seconds from the run's start.
    """

    source: Place
    output: Place
    key: str
    rate_limit: str
    limit: int | None = None
    dry_run: bool = False
    api: str = ""
    api_origin: str = ""
    api_url: str | None = None
    max_calls: int | None = None
    deadline: float | None = None
    retry: RunFolder | None = None


@dataclass(frozen=True)
class Capacity:
    """What the pool allows: so many mapped tasks at once, each with so many requests in flight."""

    tasks: int
    requests_per_task: int = 1


def make_plan(pipeline: Pipeline, job: Job, folder: RunFolder, capacity: Capacity) -> list[Chunk]:
    """Fill the run's folder and return the chunks to call; none for a dry run.

    Raises `BadInputError` or `ConfigError`, with nothing called, where the source or the configuration cannot work. An
    earlier plan of the same run is replaced.
    """
    folder.forget_plan()
    check_output(str(job.output), job.key)
    earlier = job.retry.read_plan() if job.retry else None
    try:
        _check_paths(job)
    except OSError as error:
        if error.errno == errno.EIO:  # a bucket that is not reached may be later
            raise
        # A name that no file can have.
        raise BadInputError(f"`{error.filename}` cannot be used: {error.strerror}") from error
    except (RuntimeError, ValueError) as error:  # a loop of links, a NUL
        raise BadInputError(f"source `{job.source}` or output `{job.output}` cannot be used: {error}") from error
    remove_folder(folder.path)
    folder.create()
    with scratch(folder.path) as work:
        if job.retry and earlier:
            made, marks = _from_earlier(job.retry, earlier, work, folder)
        else:
            made, marks = _from_source(pipeline, job, work, folder)
    made = replace(
        made,
        output=str(job.output),
        rate_limit=job.rate_limit,
        dry_run=job.dry_run,
        api=job.api,
        api_origin=job.api_origin,
        api_url=job.api_url,
        max_calls=job.max_calls,
        deadline=job.deadline,
        chunks=() if job.dry_run else tuple(marks.chunks(_tasks(pipeline, job.rate_limit, marks.rows, capacity))),
    )
    folder.write_plan(made)
    return list(made.chunks)


def _tasks(pipeline: Pipeline, rate_limit: str, rows: int, capacity: Capacity) -> int:
    """How many mapped tasks are worth having.

    A row a task for few rows. Else as many as the pool lets run at once, or fewer where these keep the limit
    busy even if every call takes its whole timeout.
    """
    rate = parse_rate(rate_limit)
    if rows <= pipeline.single_rows and (rate is None or rate.interval < SLOW):
        return max(1, rows)
    worth = requests_worth(rate, pipeline.request.timeout)
    return capacity.tasks if worth is None else min(capacity.tasks, math.ceil(worth / capacity.requests_per_task))


def requests_worth(rate: Rate | None, timeout: float) -> int | None:
    """How many requests in flight keep a limit busy even if each takes its whole `timeout`; None without a limit.

    More of them would only wait, and hold starts that nobody else can use.
    """
    return None if rate is None else max(1, math.ceil(timeout / rate.interval))


def _from_source(pipeline: Pipeline, job: Job, work: Path, folder: RunFolder) -> tuple[Plan, "_Marks"]:
    """Snapshot the source into `work` and sort its rows."""
    name = str(job.source)
    snapshot = work / folder.input.name
    size, digest = _snapshot(job.source, snapshot)
    form = detect(snapshot, job.key, pipeline.encoding, pipeline.delimiter, name=name)
    with CsvFile(snapshot, form, name=name) as table:
        if job.key not in table.columns:
            raise BadInputError(
                f"`{name}` has no key column `{job.key}`; the columns found are {quoted(table.columns)}"
            )
        if ANSWER in table.columns:
            raise BadInputError(f"`{name}` has a column `{ANSWER}`, a name kept for the answers; rename it")
        for template in pipeline.request.templates():
            template.check_columns(table.columns)
        with _Sorter(table.columns, job.key, work / folder.rows.name, work / folder.rejects.name) as sorter:
            for row in itertools.islice(table.rows(), job.limit):
                sorter.add(row)
    if not sorter.rows:
        raise BadInputError(f"`{name}` has a header and no rows; expected at least one")
    return Plan(
        source=name,
        source_bytes=size,
        source_sha256=digest,
        encoding=form.encoding,
        delimiter=form.delimiter,
        columns=table.columns,
        key=job.key,
        output="",
        rate_limit="",
        limit=job.limit,
        dry_run=False,
        rows=sorter.rows,
        to_call=sorter.marks.rows,
    ), sorter.marks


def _from_earlier(earlier: RunFolder, made: Plan, work: Path, folder: RunFolder) -> tuple[Plan, "_Marks"]:
    """Take over an earlier run's rows and answers; what has no answer there and can be called is to be called.

    All of it is copied, so that the earlier run may be pruned, and this one be taken over in its turn.
    """
    if made.dry_run:
        raise BadInputError(f"retry_failed_of is `{earlier.run_id}`: a dry run, in which nothing was called")
    _snapshot(earlier.input, work / folder.input.name)
    key = made.columns.index(made.key)
    marks, kept = _Marks(), 0
    names = (folder.rows.name, folder.kept.name, folder.rejects.name)
    with (
        (work / names[0]).open("wb") as calls,
        (work / names[1]).open("wb") as answered,
        (work / names[2]).open("wb") as rejects,
    ):
        for row in settle(earlier, made, answers=True):
            if row.status is RowStatus.OK:
                answered.write(
                    _json_line({"n": row.number, "v": row.values, "attempts": row.attempts, "answer": row.answer})
                )
                kept += 1
            elif row.callable:
                line = _json_line({"n": row.number, "key": row.values[key], "v": row.values})
                calls.write(line)
                marks.add(row.number, row.values[key], len(line))
            else:
                rejects.write(_json_line({"n": row.number, "status": row.status, "error": row.error, "v": row.values}))
    return replace(made, to_call=marks.rows, retry_failed_of=earlier.run_id, kept=kept), marks


def _check_paths(job: Job) -> None:
    if isinstance(job.output, Path):
        _check_local_output(job.output)
    if str(job.output) == str(job.source) or _same_file(job.output, job.source):
        raise ConfigError(f"output is `{job.output}`: the source itself, which would be overwritten")
    if job.retry is None:
        _check_source(job.source)


def _check_source(source: Place) -> None:
    if not isinstance(source, Path):
        try:
            open_to_read(source).close()
        except FileNotFoundError as error:
            raise BadInputError(f"source `{source}` does not exist") from error
    elif not source.is_file():
        what = "is not a file" if source.exists() else "does not exist"
        raise BadInputError(f"source `{source}` {'is a folder, not a file' if source.is_dir() else what}")


def _same_file(one: Place, other: Place) -> bool:
    return isinstance(one, Path) and isinstance(other, Path) and one.resolve() == other.resolve()


def _check_local_output(output: Path) -> None:
    if output.is_dir():
        raise ConfigError(f"output is `{output}`: a folder; allowed is the path of a file to write")
    if output.exists() and not output.is_file():
        raise ConfigError(f"output is `{output}`: not a regular file; allowed is the path of a file to write")
    # Looked at before any call is paid for: the first folder that exists must take what is written below it.
    above = next(folder for folder in output.resolve().parents if folder.exists())
    try:
        tempfile.TemporaryFile(dir=above).close()
    except OSError as error:
        raise ConfigError(f"output is `{output}`, but nothing can be written in `{above}`: {error.strerror}") from error


def read_rows(rows: BinaryIO, chunk: Chunk) -> Iterator[dict[str, Any]]:
    """The chunk's rows as `plan` wrote them: `n` the row's number, `line`, `key`, `v` the values in column order."""
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


def _snapshot(source: Place, target: Path) -> tuple[int, str]:
    """Copy `source`, so that a file changed during the run harms nothing; returns its size and SHA-256."""
    digest = hashlib.sha256()
    size = 0
    try:
        stream = open_to_read(source)
    except OSError as error:
        raise BadInputError(f"source `{source}` cannot be read: {error.strerror or error}") from error
    with stream, target.open("wb") as copy:
        while part := _read(stream, source):
            digest.update(part)
            size += len(part)
            copy.write(part)
    return size, digest.hexdigest()


def _read(stream: BinaryIO, source: Place) -> bytes:
    try:
        return stream.read(COPY_BYTES)
    except OSError as error:
        raise BadInputError(f"source `{source}` cannot be read: {error.strerror or error}") from error


class _Sorter:
    """Puts each row where it belongs: among those to be called (`calls`), or those that are not (`rejects`)."""

    def __init__(self, columns: tuple[str, ...], key: str, calls: Path, rejects: Path) -> None:
        self.rows = 0
        self.marks = _Marks()
        self._key = columns.index(key)
        self._name = key
        self._outcome = [columns.index(name) for name in carried_outcome(columns)]
        self._calls = calls.open("wb")
        self._rejects = rejects.open("wb")
        self._seen = SeenKeys()

    def __enter__(self) -> "_Sorter":
        self._seen.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._calls.close()
        self._rejects.close()
        self._seen.__exit__()

    def add(self, row: Row) -> None:
        self.rows += 1
        if row.error:
            self._reject(row, RowStatus.FAILED, row.error)
            return
        values = list(row.values)
        if unread := self._unread_before(values):
            self._reject(row, RowStatus.FAILED, unread)
            return
        key = values[self._key] = values[self._key].strip()
        if not key:
            self._reject(row, RowStatus.SKIPPED, f"the key `{self._name}` is empty")
            return
        if (first := self._seen.note(key, row.number)) is not None:
            self._reject(row, RowStatus.SKIPPED, f"the key `{key}` was seen in row {first}")
            return
        line = _json_line({"n": row.number, "line": row.line, "key": key, "v": values})
        self._calls.write(line)
        self.marks.add(row.number, key, len(line))

    def _unread_before(self, values: list[str]) -> str | None:
        """The error of a row of an `errors.csv` that could not be read in its own file: here it only looks whole."""
        if not self._outcome:
            return None
        status, attempts, error = (values[index] for index in self._outcome)
        unread = status == RowStatus.FAILED and attempts == "0" and error.startswith("line ")
        return f"not readable before either ({error})" if unread else None

    def _reject(self, row: Row, status: RowStatus, error: str) -> None:
        self._rejects.write(
            _json_line({"n": row.number, "status": status, "error": f"line {row.line}: {error}", "v": row.values})
        )


def _json_line(value: object) -> bytes:
    return encode(value) + b"\n"


@dataclass(frozen=True)
class _Mark:
    offset: int
    number: int
    previous: int
    key: str


class _Marks:
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

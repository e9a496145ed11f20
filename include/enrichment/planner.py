"""Planning a run: check and snapshot the CSV, set aside the rows that cannot be called, cut the rest into chunks."""

import hashlib
import itertools
import json
import math
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from include.common.errors import BadInputError, ConfigError
from include.common.templates import quoted
from include.enrichment.models import Chunk, Pipeline, RowStatus, carried_outcome, check_output
from include.enrichment.reader import CsvFile, Row, detect
from include.enrichment.run import Plan, RunFolder
from include.enrichment.transforms import ANSWER

COPY_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Job:
    """What a run was asked for: absolute paths, and the run's own choices over the pipeline's."""

    source: Path
    output: str
    key: str
    rate_limit: str
    limit: int | None = None
    dry_run: bool = False
    api: str = ""


def make_plan(pipeline: Pipeline, job: Job, folder: RunFolder, tasks: int) -> list[Chunk]:
    """Fill the run's folder and return the chunks to call; none for a dry run.

    `tasks` is how many mapped tasks the pool lets run at once. Raises `BadInputError` or `ConfigError`, with
    nothing called, where the source or the configuration cannot work. An earlier plan of the same run is replaced.
    """
    folder.forget_plan()
    check_output(job.output, job.key)
    try:
        _check_paths(job)
    except OSError as error:  # a name that no file can have
        raise BadInputError(f"`{error.filename}` cannot be used: {error.strerror}") from error
    except (RuntimeError, ValueError) as error:  # a loop of links, a NUL
        raise BadInputError(f"source `{job.source}` or output `{job.output}` cannot be used: {error}") from error
    if folder.path.exists():
        shutil.rmtree(folder.path)
    folder.path.mkdir(parents=True)
    size, digest = _snapshot(job.source, folder.input)
    form = detect(folder.input, job.key, pipeline.encoding, pipeline.delimiter, name=str(job.source))
    with CsvFile(folder.input, form, name=str(job.source)) as table:
        if job.key not in table.columns:
            raise BadInputError(
                f"`{job.source}` has no key column `{job.key}`; the columns found are {quoted(table.columns)}"
            )
        if ANSWER in table.columns:
            raise BadInputError(f"`{job.source}` has a column `{ANSWER}`, a name kept for the answers; rename it")
        for template in pipeline.request.templates():
            template.check_columns(table.columns)
        with _Sorter(table.columns, job.key, folder) as sorter:
            for row in itertools.islice(table.rows(), job.limit):
                sorter.add(row)
    if not sorter.rows:
        raise BadInputError(f"`{job.source}` has a header and no rows; expected at least one")
    folder.write_plan(
        Plan(
            source=str(job.source),
            source_bytes=size,
            source_sha256=digest,
            encoding=form.encoding,
            delimiter=form.delimiter,
            columns=table.columns,
            key=job.key,
            output=job.output,
            rate_limit=job.rate_limit,
            limit=job.limit,
            dry_run=job.dry_run,
            rows=sorter.rows,
            to_call=sorter.marks.rows,
            api=job.api,
        )
    )
    folder.segments.mkdir()
    if job.dry_run:
        return []
    single = sorter.marks.rows <= pipeline.single_rows
    return sorter.marks.chunks(sorter.marks.rows if single else tasks)


def _check_paths(job: Job) -> None:
    if Path(job.output).is_dir():
        raise ConfigError(f"output is `{job.output}`: a folder; allowed is the path of a file to write")
    if Path(job.output).exists() and not Path(job.output).is_file():
        raise ConfigError(f"output is `{job.output}`: not a regular file; allowed is the path of a file to write")
    if Path(job.output).resolve() == job.source.resolve():
        raise ConfigError(f"output is `{job.output}`: the source itself, which would be overwritten")
    # Looked at before any call is paid for: the first folder that exists must take what is written below it.
    above = next(folder for folder in Path(job.output).resolve().parents if folder.exists())
    try:
        tempfile.TemporaryFile(dir=above).close()
    except OSError as error:
        raise ConfigError(
            f"output is `{job.output}`, but nothing can be written in `{above}`: {error.strerror}"
        ) from error
    if not job.source.is_file():
        what = "is not a file" if job.source.exists() else "does not exist"
        raise BadInputError(f"source `{job.source}` {'is a folder, not a file' if job.source.is_dir() else what}")


def read_rows(folder: RunFolder, chunk: Chunk) -> Iterator[dict[str, Any]]:
    """The chunk's rows as `plan` wrote them: `n` the row's number, `line`, `key`, `v` the values in column order."""
    with folder.rows.open("rb") as stream:
        stream.seek(chunk.offset)
        for _ in range(chunk.rows):
            yield json.loads(stream.readline())


def _snapshot(source: Path, target: Path) -> tuple[int, str]:
    """Copy `source`, so that a file changed during the run harms nothing; returns its size and SHA-256."""
    digest = hashlib.sha256()
    size = 0
    try:
        stream = source.open("rb")
    except OSError as error:
        raise BadInputError(f"source `{source}` cannot be read: {error.strerror}") from error
    with stream, target.open("wb") as copy:
        while part := _read(stream, source):
            digest.update(part)
            size += len(part)
            copy.write(part)
    return size, digest.hexdigest()


def _read(stream: BinaryIO, source: Path) -> bytes:
    try:
        return stream.read(COPY_BYTES)
    except OSError as error:
        raise BadInputError(f"source `{source}` cannot be read: {error.strerror}") from error


class _Sorter:
    """Puts each row where it belongs: `rows.jsonl` to be called, `rejects.jsonl` otherwise.

    The keys seen are kept in a temporary SQLite file: exact, and memory does not grow with the rows.
    """

    def __init__(self, columns: tuple[str, ...], key: str, folder: RunFolder) -> None:
        self.rows = 0
        self.marks = _Marks()
        self._key = columns.index(key)
        self._name = key
        self._outcome = [columns.index(name) for name in carried_outcome(columns)]
        self._calls = folder.rows.open("wb")
        self._rejects = folder.rejects.open("wb")
        self._seen = sqlite3.connect("", isolation_level=None)  # "" is a private file that SQLite deletes itself

    def __enter__(self) -> "_Sorter":
        self._seen.execute("CREATE TABLE seen (key TEXT PRIMARY KEY, row INTEGER) WITHOUT ROWID")
        self._seen.execute("BEGIN")
        return self

    def __exit__(self, *_: object) -> None:
        for resource in (self._calls, self._rejects, self._seen):
            resource.close()

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
        if not self._seen.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (key, row.number)).rowcount:
            first = self._seen.execute("SELECT row FROM seen WHERE key = ?", (key,)).fetchone()[0]
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
    return json.dumps(value).encode() + b"\n"  # ASCII, so that undecodable bytes survive as escapes


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
            chunks.append(Chunk(index, label, start.number, rows, start.offset, end.offset - start.offset))
        return chunks

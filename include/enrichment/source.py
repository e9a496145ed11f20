"""Taking rows from a CSV: a snapshot of it, and each row put where it belongs."""

import hashlib
import itertools
from pathlib import Path
from typing import BinaryIO

from include.common.errors import BadInputError, quoted
from include.common.storage import COPY_BYTES, Place, open_to_read
from include.common.text import shown
from include.enrichment.job import Job
from include.enrichment.keys import SeenKeys
from include.enrichment.models import Pipeline, RowStatus, carried_outcome
from include.enrichment.reader import CsvFile, Row, detect
from include.enrichment.rows import RowWriter
from include.enrichment.run import Source
from include.enrichment.transforms import ANSWER


def check_source(source: Place) -> None:
    """Raise `BadInputError` where there is no such file."""
    if not isinstance(source, Path):
        try:
            open_to_read(source).close()
        except FileNotFoundError as error:
            raise BadInputError(f"source `{source}` does not exist") from error
    elif not source.is_file():
        what = "is not a file" if source.exists() else "does not exist"
        raise BadInputError(f"source `{source}` {'is a folder, not a file' if source.is_dir() else what}")


def take_rows(pipeline: Pipeline, job: Job, copy: Path, rows: RowWriter) -> Source:
    """Snapshot the job's source to `copy` and write each of its rows where it belongs."""
    name = str(job.source)
    size, digest = snapshot(job.source, copy)
    form = detect(copy, job.key, job.encoding, pipeline.delimiter, name=name)
    with CsvFile(copy, form, name=name) as table, SeenKeys() as seen:
        columns = table.columns
        if job.key not in columns:
            raise BadInputError(f"`{name}` has no key column `{job.key}`; the columns found are {quoted(columns)}")
        if ANSWER in columns:
            raise BadInputError(f"`{name}` has a column `{ANSWER}`, a name kept for the answers; rename it")
        for template in pipeline.request.templates():
            template.check_columns(columns)
        sorter = _Sorter(columns, job, seen, rows)
        for row in itertools.islice(table.rows(), job.limit):
            sorter.add(row)
    if not rows.rows:
        raise BadInputError(f"`{name}` has a header and no rows; expected at least one")
    return Source(name, size, digest, form.encoding, form.delimiter, columns)


def snapshot(source: Place, target: Path) -> tuple[int, str]:
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
    """Puts each row where it belongs: among those to be called, or those that are not."""

    def __init__(self, columns: tuple[str, ...], job: Job, seen: SeenKeys, rows: RowWriter) -> None:
        self._key = columns.index(job.key)
        self._job = job
        self._seen = seen
        self._rows = rows
        self._outcome = [columns.index(name) for name in carried_outcome(columns)]

    def add(self, row: Row) -> None:
        if row.error:
            self._reject(row, RowStatus.FAILED, row.error)
            return
        values = list(row.values)
        if unread := self._unread_before(values):
            self._reject(row, RowStatus.FAILED, unread)
            return
        key = values[self._key]
        if self._job.trim_keys:
            key = values[self._key] = key.strip()
        if not key.strip():
            self._reject(row, RowStatus.SKIPPED, f"the key `{self._job.key}` is empty")
            return
        if (first := self._seen.note(key, row.number)) is not None:
            self._reject(row, RowStatus.SKIPPED, f"the key `{shown(key)}` was seen in row {first}")
            return
        self._rows.call(row.number, key, values)

    def _unread_before(self, values: list[str]) -> str | None:
        """The error of a row of an `errors.csv` that could not be read in its own file: here it only looks whole."""
        if not self._outcome:
            return None
        status, attempts, error = (values[index] for index in self._outcome)
        unread = status == RowStatus.FAILED and attempts == "0" and error.startswith("line ")
        return f"not readable before either ({error})" if unread else None

    def _reject(self, row: Row, status: RowStatus, error: str) -> None:
        self._rows.reject(row.number, status, f"line {row.line}: {error}", list(row.values))

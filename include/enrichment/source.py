"""Taking rows from a CSV: a snapshot of it, and each row put where it belongs."""

import hashlib
import itertools
from pathlib import Path
from typing import BinaryIO

from include.common.errors import BadInputError, quoted
from include.common.jsontext import encode_line
from include.common.storage import COPY_BYTES, Place, open_to_read
from include.enrichment.keys import SeenKeys
from include.enrichment.models import Pipeline, RowStatus, carried_outcome
from include.enrichment.reader import CsvFile, Row, detect
from include.enrichment.rows import Marks
from include.enrichment.run import Plan, RunFolder
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


def take_rows(
    pipeline: Pipeline, source: Place, key: str, limit: int | None, work: Path, folder: RunFolder
) -> tuple[Plan, Marks]:
    """Snapshot the source into `work` and sort its rows."""
    name = str(source)
    copy = work / folder.input.name
    size, digest = snapshot(source, copy)
    form = detect(copy, key, pipeline.encoding, pipeline.delimiter, name=name)
    with CsvFile(copy, form, name=name) as table:
        if key not in table.columns:
            raise BadInputError(f"`{name}` has no key column `{key}`; the columns found are {quoted(table.columns)}")
        if ANSWER in table.columns:
            raise BadInputError(f"`{name}` has a column `{ANSWER}`, a name kept for the answers; rename it")
        for template in pipeline.request.templates():
            template.check_columns(table.columns)
        with _Sorter(table.columns, key, work / folder.rows.name, work / folder.rejects.name) as sorter:
            for row in itertools.islice(table.rows(), limit):
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
        key=key,
        output="",
        rate_limit="",
        limit=limit,
        dry_run=False,
        rows=sorter.rows,
        to_call=sorter.marks.rows,
    ), sorter.marks


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
    """Puts each row where it belongs: among those to be called (`calls`), or those that are not (`rejects`)."""

    def __init__(self, columns: tuple[str, ...], key: str, calls: Path, rejects: Path) -> None:
        self.rows = 0
        self.marks = Marks()
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
        line = encode_line({"n": row.number, "line": row.line, "key": key, "v": values})
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
            encode_line({"n": row.number, "status": status, "error": f"line {row.line}: {error}", "v": row.values})
        )

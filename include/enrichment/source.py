"""Taking rows from a CSV: a snapshot of it, and each row put where it belongs."""

import hashlib
import itertools
from pathlib import Path
from typing import BinaryIO

from include.common.errors import BadInputError, quoted
from include.common.storage import COPY_BYTES, Place, open_to_read
from include.enrichment.job import Job
from include.enrichment.keys import SeenKeys
from include.enrichment.models import Pipeline
from include.enrichment.reader import CsvFile, detect
from include.enrichment.rows import RowWriter
from include.enrichment.run import Source
from include.enrichment.sorter import Refusal, Sorter, check_columns, no_rows


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
        check_columns(columns, name)
        for template in pipeline.request.templates():
            template.check_columns(columns)
        sorter, position = Sorter(columns, job.key, seen, job.trim_keys), columns.index(job.key)
        for row in itertools.islice(table.rows(), job.limit):
            found, values = sorter.sort(row), list(row.values)
            if isinstance(found, Refusal):
                rows.reject(row.number, found.status, f"line {row.line}: {found.reason}", values)
            else:
                values[position] = found  # trimmed, where the run trims keys
                rows.call(row.number, found, values)
    if not rows.rows:
        raise no_rows(name)
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

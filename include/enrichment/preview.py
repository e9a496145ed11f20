"""What a run would read in a CSV, seen before it is started: how it is written, its first rows, and its bad ones."""

import codecs
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from include.common.errors import BadInputError, ConfigError
from include.common.text import SENTENCE, shown
from include.enrichment.encodings import UNDECODABLE
from include.enrichment.keys import SeenKeys
from include.enrichment.models import DELIMITERS, RowStatus
from include.enrichment.reader import MARK, UNCLOSED, CsvFile, Format, Row, detect
from include.enrichment.sorter import Refusal, Sorter, check_columns, no_rows

ROWS = 10
BAD = 20
# Columns that a person chooses the key from.
COLUMNS = 2000
# Characters of a value; what is longer is cut.
CELL = 200
# Bytes that are read at most: few rows may be much text, and a person waits for this.
MOST_BYTES = 64 * 1024 * 1024
# What files that people take for a CSV begin with.
_WORKBOOK = "an Excel workbook; save it as CSV"
_KINDS = {b"PK\x03\x04": _WORKBOOK, b"\xd0\xcf\x11\xe0": _WORKBOOK, b"%PDF-": "a PDF; expected a CSV"}
_TEXTS = {
    re.compile(r"""\s*(\{\s*["}]|\[\s*[\[{"\]])"""): "JSON; expected a CSV",
    re.compile(r"\s*<(!doctype|html|\?xml)", re.IGNORECASE): "a page or XML; expected a CSV",
}
# Of this many bytes, a few characters that command a device are a flaw of some rows; a share of them is no text.
_SAMPLE_BYTES = 64 * 1024
_CONTROL = re.compile("[\0-\x08\x0e-\x1a\x1c-\x1f]")  # not ESC, by which some encodings change over
_FEW_CONTROLS = 8
_CONTROL_SHARE = 0.05


@dataclass(frozen=True)
class BadRow:
    """A row that a run would fail or skip. `line` is the physical line that it starts on, from 1."""

    line: int
    reason: str


@dataclass(frozen=True)
class Preview:
    """How a file is written, and what a run would make of its rows.

    `rows` are the first that can be read, their long values cut; `bad` are the first bad ones, of `bad_count` among
    the `read` rows. `whole` says whether these are all of the file's. `key` is the key asked for, where there is such a
    column; else None, or the first where that was asked for.
    """

    encoding: str
    delimiter: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    bad: tuple[BadRow, ...]
    bad_count: int
    read: int
    whole: bool
    key: str | None


def preview(
    path: Path,
    name: str,
    key: str | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    cut: bool = False,
    else_first: bool = False,
    most_rows: int = 10_000,
) -> Preview:
    """Read the first rows of `path`, which messages call `name`; `cut` where it holds only the beginning of the file.

    `else_first` takes the first column for the key where `key` is none of the columns.

    Raises `BadInputError` for what is no CSV with a row that can be read, `ConfigError` for an encoding or a delimiter
    that is none.
    """
    name = shown(name)
    if delimiter is not None and delimiter not in DELIMITERS:
        raise ConfigError(f"delimiter is `{shown(delimiter)}`; allowed is one of {', '.join(map(repr, DELIMITERS))}")
    form = detect(path, key, encoding, delimiter, name=name)
    _check_text(path, form, name)
    cut = cut or path.stat().st_size > MOST_BYTES
    rows: list[tuple[str, ...]] = []
    bad: list[BadRow] = []
    read = bad_count = 0
    with CsvFile(path, form, name=name, most=MOST_BYTES) as table, SeenKeys() as seen:
        columns = table.columns
        check_columns(columns, name)
        if len(columns) > COLUMNS:
            raise BadInputError(f"`{name}` has {len(columns)} columns; a page takes up to {COLUMNS}")
        key = key if key in columns else columns[0] if else_first else None
        sorter = Sorter(columns, key, seen)
        found = _unbroken(table.rows()) if cut else table.rows()
        for row in itertools.islice(found, most_rows):
            read += 1
            refusal = sorter.sort(row)
            if isinstance(refusal, Refusal):
                bad_count += 1
                if len(bad) < BAD:
                    bad.append(BadRow(row.line, shown(refusal.reason, SENTENCE)))
                if refusal.status is RowStatus.FAILED:
                    continue
            if len(rows) < ROWS:
                rows.append(tuple(_legible(value, CELL) for value in row.values))
        whole = not cut and next(found, None) is None
    if bad and not rows:
        raise BadInputError(f"not one row of `{name}` can be read; line {bad[0].line}: {bad[0].reason}")
    if not read and not cut:
        raise no_rows(name)
    columns = tuple(map(_legible, columns))
    return Preview(form.encoding, form.delimiter, columns, tuple(rows), tuple(bad), bad_count, read, whole, key)


def _check_text(path: Path, form: Format, name: str) -> None:
    with path.open("rb") as stream:
        sample = stream.read(_SAMPLE_BYTES)
    for beginning, kind in _KINDS.items():
        if sample.startswith(beginning):
            raise BadInputError(f"`{name}` looks like {kind}")
    text = codecs.getincrementaldecoder(form.encoding)(UNDECODABLE).decode(sample)
    for pattern, kind in _TEXTS.items():
        if pattern.match(text.lstrip(MARK)):
            raise BadInputError(f"`{name}` looks like {kind}")
    controls = len(_CONTROL.findall(text))
    if controls >= _FEW_CONTROLS and controls > _CONTROL_SHARE * len(text):
        raise BadInputError(
            f"`{name}` looks like no text in the encoding {form.encoding}; expected a CSV, with its encoding named "
            "where that is an unusual one"
        )


def _legible(value: str, length: int | None = None) -> str:
    """A value that any page can hold: not too long, and with half a surrogate pair, which is no text, escaped."""
    if length is not None and len(value) > length:
        value = value[: length - 1] + "…"
    return value.encode("utf-8", "backslashreplace").decode()


def _unbroken(rows: Iterator[Row]) -> Iterator[Row]:
    """The rows of a file's beginning without what its end broke off: the last row, or one that a quote leaves open."""
    before = None
    for row in rows:
        if before is not None:
            yield before
        if row.error == UNCLOSED:
            return  # what follows is its own lines once more
        before = row

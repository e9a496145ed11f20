"""Reading CSV files that people and programs really write, a row at a time, in constant memory.

A file that cannot be read at all is a `BadInputError`; a row that cannot be read is a `Row` with its error.
"""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from include.common.errors import BadInputError, quoted
from include.enrichment.encodings import UNDECODABLE, check_encoding, find_encoding
from include.enrichment.models import DELIMITERS

# What is looked at to detect encoding and delimiter. Past it a wrong guess shows as failed rows, never as lost ones.
SAMPLE_BYTES = 1024 * 1024
# Characters in one field, and in one physical line: a longer one is a file gone wrong, not data.
MAX_FIELD = 1024 * 1024
EXCERPT = 200
# The error of a row that the file's end breaks off.
UNCLOSED = "a quote is opened and never closed"
# A byte order mark, decoded.
MARK = "\ufeff"
# How Excel says which delimiter follows.
_DECLARED = re.compile(
    rf'(?P<quote>"?)sep=(?P<delimiter>[{"".join(DELIMITERS)}])(?P=quote)(?:[\r\n]+|$)', re.IGNORECASE
)
_FLAWED = re.compile("[\0\udc00-\udcff]")


class _Overlong(str):
    """The start of a physical line that is too long to be data."""

    __slots__ = ()
    reason = f"a line of more than {MAX_FIELD} characters"


@dataclass(frozen=True)
class Format:
    """How a file is written."""

    encoding: str
    delimiter: str


@dataclass(frozen=True)
class Row:
    """One record. `number` counts data rows from 1, `line` is the physical line that it starts on, from 1."""

    number: int
    line: int
    values: tuple[str, ...]
    error: str | None = None


def detect(
    path: Path, key: str | None, encoding: str | None = None, delimiter: str | None = None, name: str | None = None
) -> Format:
    """Find out how `path` is written; what the caller names is taken as it is.

    `name` stands for the path in messages, where `path` is a copy. `key`, where it is known, helps to tell delimiters
    apart: the right one yields a column of that name. Raises `BadInputError` where the file cannot be read or is empty,
    `ConfigError` for an encoding that does not exist.
    """
    if encoding is not None:
        check_encoding(encoding)
    try:
        with path.open("rb") as stream:
            sample = stream.read(SAMPLE_BYTES)
    except OSError as error:
        raise BadInputError(f"`{name or path}` cannot be read: {error.strerror}") from error
    if not sample.strip(b"\0 \t\r\n\xef\xbb\xbf\xff\xfe"):
        raise BadInputError(f"`{name or path}` is empty; expected a header line and at least one row")
    encoding = find_encoding(sample, encoding)
    text = codecs.getincrementaldecoder(encoding)(UNDECODABLE).decode(sample).lstrip(MARK)
    return Format(encoding, delimiter or _guess_delimiter(text, key))


def _guess_delimiter(text: str, key: str | None) -> str:
    """The delimiter under which the sample is most a table: the key column found, then even rows, then many columns."""
    if declared := _DECLARED.match(text):
        return declared.group("delimiter")

    def fitness(delimiter: str) -> tuple[bool, float, int]:
        rows = []
        try:
            for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True):
                rows.append(row)
                if len(rows) == 50:
                    break
        except csv.Error:
            pass
        rows = [row for row in rows if row]
        if not rows:
            return False, 0.0, 0
        even = sum(len(row) == len(rows[0]) for row in rows) / len(rows)
        return any(name.strip() == key for name in rows[0]), even if len(rows[0]) > 1 else 0.0, len(rows[0])

    return max(DELIMITERS, key=fitness)


class _Beginning(io.FileIO):
    """The first bytes of a file."""

    def __init__(self, path: Path, most: int) -> None:
        super().__init__(path)
        self._left = most

    def readinto(self, buffer: Any) -> int:
        count = super().readinto(memoryview(buffer)[: self._left]) or 0
        self._left -= count
        return count


class CsvFile:
    """A CSV file opened for one pass: `columns` (names trimmed), then `rows()`. `name` as for `detect`.

    No more than the first `most` bytes are read.
    """

    def __init__(self, path: Path, form: Format, name: str | None = None, most: int | None = None) -> None:
        self.name = name or str(path)
        self.form = form
        csv.field_size_limit(MAX_FIELD)
        stream: BinaryIO = path.open("rb") if most is None else io.BufferedReader(_Beginning(path, most))
        self._text = io.TextIOWrapper(stream, form.encoding, UNDECODABLE, newline="")
        self._line = 0  # physical lines handed to the CSV reader
        self._record: list[str] = []  # those of the record under way
        self._again: list[str] = []  # lines to hand out once more, the next one last
        self._reader = self._new_reader()
        try:
            self.columns = self._header()
        except BadInputError:
            self._text.close()
            raise

    def __enter__(self) -> "CsvFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._text.close()

    def _new_reader(self) -> "Iterator[list[str]]":
        return csv.reader(iter(self._next_line, ""), delimiter=self.form.delimiter, strict=True)

    def _next_line(self) -> str:
        """The next physical line, "" at the end."""
        line = self._again.pop() if self._again else self._read_line()
        self._line += 1
        if isinstance(line, _Overlong):
            self._record.append(line)
            raise csv.Error(line.reason)
        if self._line == 1:
            line = line.lstrip(MARK)
            if (declared := _DECLARED.fullmatch(line)) and declared.group("delimiter") == self.form.delimiter:
                return self._next_line()  # Excel's own hint, not a header
        self._record.append(line)
        return line

    def _read_line(self) -> str:
        line = self._text.readline(MAX_FIELD + 1)
        if len(line) <= MAX_FIELD or line.endswith(("\n", "\r")):
            return line
        while (rest := self._text.readline(MAX_FIELD)) and not rest.endswith(("\n", "\r")):
            pass  # read past it without keeping it
        return _Overlong(line[:EXCERPT])

    def _header(self) -> tuple[str, ...]:
        names = next((row for row in self._read() if row.values), None)
        if names is None:
            raise BadInputError(f"`{self.name}` is empty; expected a header line and at least one row")
        if names.error:
            raise BadInputError(f"line {names.line} of `{self.name}`, the header: {names.error}")
        columns = tuple(name.strip() or f"column_{index}" for index, name in enumerate(names.values, 1))
        repeated = tuple(name for name, count in Counter(columns).items() if count > 1)
        if repeated:
            raise BadInputError(f"`{self.name}`: the header repeats {quoted(repeated)}; column names must differ")
        return columns

    def rows(self) -> Iterator[Row]:
        """The data rows in order. Empty lines are not rows."""
        number = 0
        width = len(self.columns)
        for row in self._read():
            if not row.values and not row.error:
                continue
            number += 1
            error = row.error
            if error is None and len(row.values) != width:
                error = f"{len(row.values)} field{'s' * (len(row.values) != 1)}, the header has {width}"
            yield Row(number, row.line, row.values, error)

    def _read(self) -> Iterator[Row]:
        while True:
            self._record = []
            try:
                values = tuple(next(self._reader))
            except StopIteration:
                return
            except csv.Error as error:
                line = self._line - len(self._record) + 1
                yield Row(0, line, (self._record[0].rstrip("\r\n"),), self._explain(error))
                # A stray quote swallows the lines behind it: only the first is at fault, the others are read again.
                self._again.extend(reversed([text for text in self._record[1:] if text]))
                self._line = line
                self._reader = self._new_reader()
            else:
                yield Row(0, self._line - len(self._record) + 1, values, self._flaw(values))

    def _explain(self, error: csv.Error) -> str:
        if "unexpected end of data" in str(error):
            return UNCLOSED
        if str(error) == _Overlong.reason:
            return _Overlong.reason
        if "field larger than field limit" in str(error):
            return f"a field of more than {MAX_FIELD} characters (a quote that is never closed?)"
        return f"not readable as CSV: {error}"

    def _flaw(self, values: tuple[str, ...]) -> str | None:
        for position, value in enumerate(values, 1):
            if found := _FLAWED.search(value):
                if found.group() == "\0":
                    return f"field {position} holds a NUL character"
                byte = ord(found.group()) - 0xDC00
                return f"field {position} holds the byte 0x{byte:02X}, which is not {self.form.encoding}"
        return None

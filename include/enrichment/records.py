"""From a frame to JSON: records that any reader of JSON accepts, published whole."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from include.common.errors import ConfigError, PermanentError
from include.common.files import replacing
from include.common.jsontext import decode
from include.common.names import file_name
from include.common.storage import Place, open_to_read
from include.common.text import shown
from include.enrichment.keys import SeenKeys
from include.enrichment.templates import Template

if TYPE_CHECKING:
    import pandas


# What orjson has a form of its own for is left to `plain`, so that a value looks alike in every record.
AS_PLAIN = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME


def write_records(frames: Iterable[pandas.DataFrame], target: Place) -> int:
    """Write frames as JSON lines, one behind the other; returns how many records.

    Every record has the columns of all frames, in the order in which they first appear; null where its frame has none.
    NaN, NaT and infinities become null, dates ISO 8601. Raises `ConfigError` where the columns repeat a name,
    `PermanentError` for a value that JSON has no form for.
    """
    parts: list[tuple[int, list[str]]] = []  # rows and columns of each frame
    with replacing(target) as stream:
        for frame in frames:
            columns = _columns(frame)
            for values in zip(*(frame.iloc[:, index].tolist() for index in range(len(columns))), strict=True):
                stream.write(_record(dict(zip(columns, values, strict=True))) + b"\n")
            parts.append((len(frame) if columns else 0, columns))
    columns = list(dict.fromkeys(name for rows, names in parts if rows for name in names))
    if any(rows and names != columns for rows, names in parts):
        _even_out(target, parts, columns)
    return sum(rows for rows, _ in parts)


def _columns(frame: pandas.DataFrame) -> list[str]:
    columns = [str(column) for column in frame.columns]
    if len(set(columns)) < len(columns):
        repeated = sorted({name for name in columns if columns.count(name) > 1})
        raise ConfigError(f"the transform returned the columns {repeated} twice; names must differ")
    return columns


def _record(record: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(record, default=lambda value: plain(value, "record"), option=AS_PLAIN)
    except TypeError:  # half a surrogate pair, a long integer, a key that is no text, or what JSON cannot hold
        exact = {name: plain(value, name) for name, value in record.items()}
        return json.dumps(exact, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace")


def _even_out(target: Place, parts: list[tuple[int, list[str]]], columns: list[str]) -> None:
    """Give every record all `columns`, in their order."""
    with open_to_read(target) as lines, replacing(target) as stream:
        for rows, names in parts:
            for line in itertools.islice(lines, rows):
                if names == columns:
                    stream.write(line)
                    continue
                record = decode(line)
                stream.write(_record({name: record.get(name) for name in columns}) + b"\n")


def plain(value: Any, place: str) -> Any:
    """`value` as JSON can hold it: None, bool, int, float, str, lists and objects of them. `place` is for messages."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item, f"{place}.{key}") for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [plain(item, f"{place}[{index}]") for index, item in enumerate(value)]
    return _from_library(value, place)


def _from_library(value: Any, place: str) -> Any:
    """Values of pandas, numpy and the standard library."""
    import datetime
    import decimal
    import enum
    import uuid

    import numpy
    import pandas

    if value is pandas.NaT or value is pandas.NA:
        return None
    if isinstance(value, numpy.datetime64 | numpy.timedelta64) and numpy.isnat(value):
        return None
    if isinstance(value, numpy.floating):  # a long double's `item()` is a long double again
        return plain(float(value), place)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, numpy.datetime64):
        return plain(pandas.Timestamp(value), place)
    if isinstance(value, datetime.timedelta | numpy.timedelta64):
        return pandas.Timedelta(value).isoformat()
    if isinstance(value, numpy.generic) and not isinstance(value.item(), numpy.generic):
        return plain(value.item(), place)
    if isinstance(value, numpy.ndarray):
        return plain(value.tolist(), place)
    if isinstance(value, decimal.Decimal):
        return str(value) if value.is_finite() else None
    if isinstance(value, enum.Enum):
        return plain(value.value, place)
    if isinstance(value, uuid.UUID | pandas.Period):
        return str(value)
    raise PermanentError(f"`{place}` is a {type(value).__name__}, which JSON cannot hold")


@dataclass(frozen=True)
class Published:
    """A file that a run published: its size in bytes and SHA-256 in hexadecimal."""

    path: str
    bytes: int
    sha256: str


def publish(records: Place, output: str, key: str, locate: Callable[[str], Place]) -> Iterator[Published]:
    """Write JSON lines as arrays of records; gives the files written, each replaced whole.

    One file, or where `output` names the key column, one for each of its values, whose records stand together.
    `locate` finds the place that a text names.
    """
    template = Template("output", output)
    if not template.columns:
        with open_to_read(records) as lines:
            yield _write_array(locate(template.render({})), lines)
        return
    _check_keys(records, template, key)  # all of them, before the first file is replaced
    with open_to_read(records) as lines:
        for value, group in itertools.groupby(lines, key=lambda line: str(decode(line)[key])):
            yield _write_array(locate(template.render({key: value}, file_name)), group)


def _check_keys(records: Place, template: Template, key: str) -> None:
    """Raise where a record has no key, or where a key's records do not stand together."""
    last: str | None = None
    with open_to_read(records) as lines, SeenKeys() as seen:
        for number, line in enumerate(lines):
            found = decode(line)
            if key not in found:
                raise ConfigError(f"output is `{template.text}`, but the transform returned no column `{key}`")
            if found[key] is None:
                raise PermanentError(f"output is `{template.text}`, but a record's `{key}` is null")
            value = str(found[key])
            if value != last and seen.note(value, number) is not None:
                raise PermanentError(f"the transform returned the records of `{shown(value)}` in several places")
            last = value


def _write_array(target: Place, lines: Iterable[bytes]) -> Published:
    digest = hashlib.sha256()
    size = 0
    with replacing(target) as stream:
        for part in as_array(lines):
            digest.update(part)
            size += len(part)
            stream.write(part)
    return Published(str(target), size, digest.hexdigest())


def as_array(lines: Iterable[bytes]) -> Iterator[bytes]:
    """JSON lines as one array, a record a line."""
    separator = b"[\n"
    for line in lines:
        yield separator + line.rstrip(b"\n")
        separator = b",\n"
    yield b"[]\n" if separator == b"[\n" else b"\n]\n"


def beside(output: str) -> str:
    """Where a part of `output` is written: `output.partial.json`. Files a key are whole each, and keep their names."""
    if Template("output", output).columns:
        return output
    folder, slash, name = output.rpartition("/")
    stem, dot, suffix = name.rpartition(".")
    return f"{folder}{slash}{stem or name}.partial" + (f"{dot}{suffix}" if stem else "")

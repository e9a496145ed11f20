"""From a frame to JSON: records that any reader of JSON accepts, published whole."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.common.errors import ConfigError, PermanentError
from include.common.files import replacing
from include.common.templates import Template
from include.enrichment.run import file_name

if TYPE_CHECKING:
    import pandas


def write_records(frame: pandas.DataFrame, target: Path) -> int:
    """Write a frame as JSON lines, keys in the order of its columns; returns how many.

    NaN, NaT and infinities become null, dates ISO 8601. Raises `ConfigError` where the columns repeat a name,
    `PermanentError` for a value that JSON has no form for.
    """
    columns = [str(column) for column in frame.columns]
    if len(set(columns)) < len(columns):
        repeated = sorted({name for name in columns if columns.count(name) > 1})
        raise ConfigError(f"the transform returned the columns {repeated} twice; names must differ")
    rows = 0
    with replacing(target) as stream:
        for values in zip(*(frame.iloc[:, index].tolist() for index in range(len(columns))), strict=True):
            record = {name: plain(value, name) for name, value in zip(columns, values, strict=True)}
            stream.write(
                json.dumps(record, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace") + b"\n"
            )
            rows += 1
    return rows


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
    if isinstance(value, uuid.UUID | pandas.Period):
        return str(value)
    raise PermanentError(f"`{place}` is a {type(value).__name__}, which JSON cannot hold")


def publish(records: Path, output: str, key: str) -> list[Path]:
    """Write JSON lines as arrays of records; returns the files written, each replaced whole.

    One file, or where `output` names the key column, one for each of its values, whose records stand together.
    """
    template = Template("output", output)
    if not template.columns:
        target = Path(template.render({}))
        with records.open("rb") as lines:
            _write_array(target, lines)
        return [target]
    return list(_publish_by_key(records, template, key))


def _publish_by_key(records: Path, template: Template, key: str) -> Iterator[Path]:
    keys = _checked_keys(records, template, key)  # all of them, before the first file is replaced
    with records.open("rb") as lines:
        for value, group in itertools.groupby(zip(keys, lines, strict=True), key=lambda pair: pair[0]):
            target = Path(template.render({key: value}, file_name))
            _write_array(target, (line for _, line in group))
            yield target


def _checked_keys(records: Path, template: Template, key: str) -> list[str]:
    """The key of each record; raises where one has none, or where a key's records do not stand together."""
    keys: list[str] = []
    ended: set[str] = set()
    with records.open("rb") as lines:
        for line in lines:
            found = json.loads(line)
            if key not in found:
                raise ConfigError(f"output is `{template.text}`, but the transform returned no column `{key}`")
            if found[key] is None:
                raise PermanentError(f"output is `{template.text}`, but a record's `{key}` is null")
            keys.append(str(found[key]))
            if len(keys) > 1 and keys[-1] != keys[-2]:
                ended.add(keys[-2])
                if keys[-1] in ended:
                    raise PermanentError(f"the transform returned the records of `{keys[-1]}` in several places")
    return keys


def _write_array(target: Path, lines: Any) -> None:
    with replacing(target) as stream:
        separator = b"[\n"
        for line in lines:
            stream.write(separator + line.rstrip(b"\n"))
            separator = b",\n"
        stream.write(b"[]\n" if separator == b"[\n" else b"\n]\n")


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

"""Transforms: a frame with a row an answered input row becomes the frame of records to publish.

The frame handed in has the input's columns as text, in their order, and a last column `_answer` with the decoded
JSON. Its columns hold Python objects (dtype `object`), so that integers stay integers and `007` stays `007`.
A run of many rows comes in several frames, each of some thousand rows in their order, unless the pipeline asks for
the `whole`; the records of all frames get the same columns.
Pandas is imported when a transform runs, for it takes 1.8 s and DAG files name transforms.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Container, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from include.common.errors import ConfigError, PermanentError

if TYPE_CHECKING:
    import pandas

ANSWER = "_answer"
PREFIX = "answer."


def load(name: str) -> Callable[[pandas.DataFrame], Any]:
    """The function named `module:function`; `ConfigError` where there is none."""
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"transform is `{name}`: {error}; allowed is an importable `module:function`") from error
    if not callable(found):
        raise ConfigError(f"transform is `{name}`: not a function")
    return found  # type: ignore[no-any-return]


def flatten(frame: pandas.DataFrame) -> pandas.DataFrame:
    """Nested objects become columns named with dots, as `pandas.json_normalize` names them; lists stay lists.

    The input's columns come first. A field of the answer with the name of one of them is called `answer.<name>`; an
    answer that is no object stays whole in `answer`. `json_normalize` itself is not used, because
    it turns the integers of a column with gaps into floats.
    """
    import pandas

    inputs = [column for column in frame.columns if column != ANSWER]
    answers = [_flat(answer) for answer in frame[ANSWER]]
    fields = dict.fromkeys(field for answer in answers for field in answer)
    added = {
        name: pandas.Series([answer.get(field) for answer in answers], index=frame.index, dtype=object)
        for field, name in zip(fields, _beside(inputs, fields), strict=True)
    }
    return pandas.concat([frame[inputs], pandas.DataFrame(added, index=frame.index)], axis=1)


def _beside(inputs: list[str], fields: Iterable[str]) -> Iterator[str]:
    """The column of each field: its own name, or with `answer.` in front where an input's column could be meant.

    It depends on the input's columns only, so that every frame of a run names a field alike.
    """
    deepest: dict[str, int] = {}
    for column in inputs:
        base, depth = _split(column)
        deepest[base] = max(deepest.get(base, 0), depth)
    for field in fields:
        base, _ = _split(field)
        yield PREFIX * (deepest[base] + 1) + field if base in deepest else field


def _split(name: str) -> tuple[str, int]:
    """A name without the `answer.` in front of it, and how many those are."""
    depth = 0
    while name.startswith(PREFIX) and name != PREFIX:
        name, depth = name.removeprefix(PREFIX), depth + 1
    return name, depth


def _flat(answer: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in _fields(answer, ""):
        found[_free(name, found)] = value
    return found


def _fields(answer: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(answer, dict):
        yield prefix.removesuffix(".") or "answer", answer
    elif not answer and prefix:
        yield prefix.removesuffix("."), None
    for key, item in answer.items() if isinstance(answer, dict) else ():
        yield from _fields(item, f"{prefix}{key}.")


def _free(name: str, taken: Container[str]) -> str:
    """`name`, or with as many `answer.` in front as make it one that is not taken: no value covers another."""
    while name in taken:
        name = PREFIX + name
    return name


SERIES = "Time Series (Daily)"


def daily_series(frame: pandas.DataFrame) -> pandas.DataFrame:
    """Alpha Vantage's `Time Series (Daily)` as records: the input's columns, `Date` (ISO 8601), then the figures.

    `{"1. open": "12.3400", "5. volume": "100"}` becomes `open` 12.34 and `volume` 100, sorted by date.
    Raises `PermanentError` for a figure that is no number.
    """
    import pandas

    inputs = [column for column in frame.columns if column != ANSWER]
    records = [
        {**dict(zip(inputs, row[:-1], strict=True)), "Date": day, **_figures(day, figures)}
        for row in frame[[*inputs, ANSWER]].itertuples(index=False, name=None)
        for day, figures in sorted(row[-1][SERIES].items())
    ]
    return pandas.DataFrame(records, dtype=object)


def _figures(day: str, figures: dict[str, str | float]) -> dict[str, int | float]:
    try:
        return {name.partition(". ")[2] or name: _number(text) for name, text in figures.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise PermanentError(f"the figures of {day} are `{figures}`; expected numbers by name") from error


def _number(text: str | float) -> int | float:
    if isinstance(text, int | float):
        return text
    return int(text) if text.isdecimal() else float(text)

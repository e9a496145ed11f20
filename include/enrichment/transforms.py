"""Transforms: a frame with a row an answered input row becomes the frame of records to publish.

The frame handed in has the input's columns as text, in their order, and a last column `_answer` with the decoded
JSON. Its columns hold Python objects (dtype `object`), so that integers stay integers and `007` stays `007`.
Pandas is imported when a transform runs, for it takes 1.8 s and DAG files name transforms.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from include.common.errors import ConfigError, PermanentError

if TYPE_CHECKING:
    import pandas

ANSWER = "_answer"


def load(name: str) -> Callable[[pandas.DataFrame], pandas.DataFrame]:
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
    fields = dict.fromkeys(name for answer in answers for name in answer)
    result = frame[inputs].copy()
    added = {
        (f"answer.{name}" if name in inputs else name): pandas.Series(
            [answer.get(name) for answer in answers], index=frame.index, dtype=object
        )
        for name in fields
    }
    return pandas.concat([result, pandas.DataFrame(added, index=frame.index)], axis=1)


def _flat(answer: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(answer, dict):
        return {prefix.removesuffix(".") or "answer": answer}
    if not answer:
        return {prefix.removesuffix("."): None} if prefix else {}
    return {name: value for key, item in answer.items() for name, value in _flat(item, f"{prefix}{key}.").items()}


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

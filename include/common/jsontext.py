"""JSON texts: read and written exactly as Python's own `json` does, by orjson wherever that gives the same.

orjson is several times faster, but makes floats of integers beyond 64 bits, refuses NaN and lone surrogates, and writes
NaN as null without a word; each of these is noticed here and left to `json`.
"""

import json
import sys
from typing import Any

import orjson

# 19 digits in a row may be more than 64 bits hold: an integer that orjson would round. (That may also be found in a
# text or a fraction; then `json` is only slower.)
_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
_LONG = b"0" * 19


class TooLargeError(ValueError):
    """A JSON text that nobody can work with; the message ends a sentence: "is nested …", "holds an integer …"."""


def decode(text: bytes, deepest: int | None = None) -> Any:
    """The value of a JSON text, as `json.loads` gives it.

    Raises `ValueError` for what is no JSON, `TooLargeError` where dicts and lists are nested deeper than `deepest` (or
    than Python can read), or an integer has more digits than Python reads.
    """
    try:
        value = orjson.loads(text)
    except ValueError:
        value = _decode(text, deepest)
    else:
        if _LONG in text.translate(_DIGITS):
            value = _decode(text, deepest)
    # Most answers have too few brackets to be deep, and to count them is far cheaper than to walk.
    if deepest is not None and text.count(b"[") + text.count(b"{") > deepest and _is_deeper(value, deepest):
        raise TooLargeError(f"is nested deeper than {deepest} levels")
    return value


def encode(value: Any) -> bytes:
    """A JSON text of `value` on one line; integers keep every digit, NaN and Infinity are written as `json` does.

    `value` is what JSON can hold: dicts, lists, texts, numbers, booleans, None. Raises as `json.dumps`.
    """
    try:
        text = orjson.dumps(value)
    except TypeError:  # an integer beyond 64 bits, a lone surrogate, a key that is no text, or nested deep
        return _encode(value)
    if b"null" in text and orjson.loads(text) != value:  # one of the nulls is a NaN
        return _encode(value)
    return text


def encode_line(value: Any) -> bytes:
    """`encode` with the line's end, for files of one JSON text a line."""
    return encode(value) + b"\n"


def _encode(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _decode(text: bytes, deepest: int | None) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise TooLargeError(f"is nested deeper than {deepest or sys.getrecursionlimit()} levels") from error
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except ValueError as error:  # the one other thing that Python does not read
        raise TooLargeError(f"holds an integer of more than {sys.get_int_max_str_digits()} digits") from error


def _is_deeper(value: Any, limit: int) -> bool:
    """Whether dicts and lists are nested more than `limit` deep in `value`."""
    level = [value]
    for _ in range(limit + 1):
        level = [item for item in level if type(item) is dict or type(item) is list]
        if not level:
            return False
        level = [item for held in level for item in (held.values() if type(held) is dict else held)]
    return True

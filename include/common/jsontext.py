"""JSON texts: read and written exactly as Python's own `json` does, by orjson wherever that gives the same.

orjson is several times faster, but makes floats of integers beyond 64 bits, refuses NaN and lone surrogates, and writes
NaN as null without a word; each of these is noticed here and left to `json`.
"""

import json
from typing import Any

import orjson

# 19 digits in a row may be more than 64 bits hold: an integer that orjson would round. (That may also be found in a
# text or a fraction; then `json` is only slower.)
_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
_LONG = b"0" * 19
_NOT_BRACKETS = bytes(set(range(256)) - set(b'[]{}"\x00'))
_CURLY_TO_SQUARE = bytes.maketrans(b"{}", b"[]")


def decode(text: bytes) -> Any:
    """The value of a JSON text, as `json.loads` gives it.

    Raises what that raises: `ValueError` for what is no JSON, `RecursionError` for what is nested too deep.
    """
    try:
        value = orjson.loads(text)
    except ValueError:
        return json.loads(text)
    return json.loads(text) if _LONG in text.translate(_DIGITS) else value


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


def is_deeper(text: bytes, value: Any, limit: int) -> bool:
    """Whether `value`, read from `text`, has dicts and lists nested more than `limit` deep."""
    if len(text) <= 2 * limit:  # each level takes two bytes
        return False
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    # The brackets alone, with pairs of quotes that have none between them taken out: all quotes are gone only where no
    # string holds a bracket. Then each round takes off the innermost level. All this is far cheaper than a walk.
    brackets = text.translate(None, _NOT_BRACKETS).replace(b'""', b"").translate(_CURLY_TO_SQUARE)
    if brackets.strip(b"[]"):
        return _is_deeper(value, limit)
    for _ in range(limit):
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return False
    return bool(brackets)


def _is_deeper(value: Any, limit: int) -> bool:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(limit):
        level = [
            item
            for held in level
            for item in (held.values() if type(held) is dict else held)
            if type(item) is dict or type(item) is list
        ]
        if not level:
            return False
    return bool(level)

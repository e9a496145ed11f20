"""JSON texts, held against Python's own `json`."""

import json
import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.common.jsontext import TooLargeError, decode, encode

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(2**70), max_value=2**70)
    | st.floats()
    | st.text(st.characters())  # lone surrogates among them
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)
# What is nearly JSON: pieces of it in any order.
PIECES = st.lists(
    st.sampled_from(
        [
            *('{"a":', "}", "[", "]", ",", "1", "-", "0", ".5", "e", "9" * 19, "NaN", "-Infinity", "null", "true"),
            *(
                '"',
                "\\",
                '"\\ud800"',
                '"ü"',
                "\n",
                "\r\n",
                " ",
                "\t",
                "\x00",
                "\ufeff",
                '"[{\\"',
                '{"a":1,"b":2,"a":3}',
            ),
        ]
    ),
    max_size=8,
).map("".join)


def outcome(of, text: bytes) -> str:
    """What reading a text gives, in a form that tells 1 from 1.0 and NaN from None, or that it fails."""
    try:
        return repr(of(text))
    except (ValueError, RecursionError):
        return "no JSON"


@given(VALUES, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-be"]), st.sampled_from([None, 1]))
def test_a_text_is_read_as_json_reads_it_in_every_encoding(value, encoding, indent):
    text = json.dumps(value, indent=indent).encode(encoding)
    assert outcome(decode, text) == outcome(json.loads, text)


@given(VALUES)
def test_a_text_with_nothing_escaped_is_read_as_json_reads_it(value):
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    assert outcome(decode, text) == outcome(json.loads, text)


@given(st.binary(max_size=20) | PIECES.map(str.encode))
def test_whatever_bytes_come_they_are_read_as_json_reads_them(text):
    assert outcome(decode, text) == outcome(json.loads, text)


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?", fullmatch=True))
def test_every_number_is_read_as_json_reads_it(number):
    assert outcome(decode, number.encode()) == outcome(json.loads, number.encode())


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**64, 10**18, 10**19, -(10**40)])
def test_integers_beyond_64_bits_keep_every_digit(number):
    assert decode(b'{"a": [%d]}' % number) == {"a": [number]}
    assert encode({"a": [number]}) == b'{"a":[%d]}' % number


def test_of_a_key_that_comes_twice_the_last_counts():
    assert decode(b'{"a": 1, "a": 2}') == {"a": 2}


@pytest.mark.parametrize(
    "text", [b"", b" ", b"{", b"[1,]", b"01", b"'a'", b'{"a": 1} x', b'"\n"', b"\xff", b"1" * 5000]
)
def test_what_is_no_json_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"."):
        decode(text)


def test_what_is_nested_without_end_is_refused():
    with pytest.raises(TooLargeError, match=f"deeper than {sys.getrecursionlimit()} levels"):
        decode(b"[" * 100_000)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (math.nan, b"NaN"),
        ([None, -math.inf], b"[null,-Infinity]"),
        ({"a": None}, b'{"a":null}'),
        ("null", b'"null"'),
        ("\ud800", b'"\\ud800"'),
        ("ü\u2028\n", '"ü\u2028\\n"'.encode()),
        ({1: "a", "ü": [1.5, True]}, b'{"1":"a","\\u00fc":[1.5,true]}'),
    ],
)
def test_it_is_written_in_the_shortest_form_that_json_reads_back(value, text):
    assert encode(value) == text


def test_what_json_cannot_hold_is_a_type_error():
    with pytest.raises(TypeError):
        encode({"a": object()})


def depth(value) -> int:
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(depth, value.values() if isinstance(value, dict) else value), default=0)


NESTED = st.recursive(
    st.sampled_from([1, "a" * 20, "[", "]]", '"', '\\"[', "\\", "}{", "ü", "女囚"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["k", "[", '\\"']), inner, max_size=3),
    max_leaves=20,
)


@given(NESTED, st.integers(1, 6), st.sampled_from(["utf-8", "utf-16-le"]), st.booleans())
def test_a_text_is_read_unless_it_is_nested_deeper_than_allowed(value, deepest, encoding, escaped):
    text = json.dumps(value, ensure_ascii=escaped).encode(encoding)
    if depth(value) <= deepest:
        assert decode(text, deepest) == value
    else:
        with pytest.raises(TooLargeError, match=f"^is nested deeper than {deepest} levels$"):
            decode(text, deepest)


@pytest.mark.parametrize("levels", [101, 1023, 1024, 1025, 10_000, 1_000_000])
@pytest.mark.parametrize("bracket", [(b"[", b"]"), (b'{"a":', b"}")])
def test_however_deep_a_text_is_it_is_refused_with_the_depth_that_was_allowed(levels, bracket):
    with pytest.raises(TooLargeError, match="deeper than 100 levels"):
        decode(bracket[0] * levels + b"1" + bracket[1] * levels, 100)


def test_a_hundred_levels_are_not_deeper_than_a_hundred():
    assert decode(b"[" * 100 + b"]" * 100, 100) == json.loads(b"[" * 100 + b"]" * 100)


def test_brackets_in_texts_are_no_depth():
    text = json.dumps(["[" * 500, {"{" * 500: 1}]).encode()
    assert decode(text, 2) == json.loads(text)


@pytest.mark.parametrize("text", [b"1" * 5000, b'{"a": [-%s]}' % (b"9" * 4301)])
def test_an_integer_that_python_does_not_read_is_refused_with_the_reason(text):
    with pytest.raises(TooLargeError, match=r"^holds an integer of more than 4300 digits$"):
        decode(text)

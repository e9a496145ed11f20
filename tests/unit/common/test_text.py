"""Text from elsewhere, as people may be shown it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.common.text import one_line, shown


@pytest.mark.parametrize("text", ["", "AAPL", "Нижний Новгород", "a b", "日本", "🎄", "é", "e\u0301", "C:\\new"])
def test_what_shows_as_itself_stays(text):
    assert shown(text) == text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x9b31m", r"\x9b31m"),
        ("a\u202eb", r"a\u202eb"),
        ("\u2066a\u2069", r"\u2066a\u2069"),
        ("\u200b", r"\u200b"),
        ("\xa0", r"\xa0"),
        ("a\nb\r\tc\0", r"a\nb\r\tc\x00"),
        ("\u2028", r"\u2028"),
        ("\udcff", r"\udcff"),
        ("\U000e0041", r"\U000e0041"),
        ("\x7f", r"\x7f"),
    ],
)
def test_what_would_command_a_terminal_or_reorder_a_line_is_escaped(text, found):
    assert shown(text) == found


@given(st.text(), st.integers(1, 80))
def test_whatever_a_text_holds_it_is_shown_in_its_length_and_printable(text, length):
    found = shown(text, length)
    assert len(found) <= length
    assert found.isprintable()


@pytest.mark.parametrize(("length", "found"), [(1, "…"), (2, "a…"), (3, "a…j"), (6, "abc…ij"), (10, "abcdefghij")])
def test_a_long_text_is_cut_in_the_middle(length, found):
    assert shown("abcdefghij", length) == found


def test_a_sentence_stands_on_one_line():
    assert one_line(" a\n\tb\u2028c  \x1b ") == r"a b c \x1b"
    assert one_line("x" * 200 + "y" * 200) == "x" * 150 + "…" + "y" * 149

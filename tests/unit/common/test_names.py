"""Any text as the name of a file."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from include.common.names import file_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("AAPL", "AAPL"),
        ("BRK.B", "BRK.B"),
        ("^GSPC", "^GSPC"),
        ("EURUSD=X", "EURUSD=X"),
        ("a b", "a b"),
        ("Москва", "Москва"),
        ("a/b", "a%2Fb"),
        ("a%2Fb", "a%252Fb"),
        ("..", "%2E."),
        ("a\\b?*", "a%5Cb%3F%2A"),
    ],
)
def test_a_key_as_a_file_name_stays_readable_where_it_can(text, name):
    assert file_name(text) == name


@given(st.text(min_size=1, max_size=400))
@example("я" * 250)
@example("語" * 250)
@example("/" * 250)
def test_whatever_the_text_its_file_name_is_one_that_a_file_can_have(text):
    name = file_name(text)
    assert name
    assert name not in (".", "..")
    assert not set(name) & {"/", "\0", "\n"}
    assert len(name.encode()) + len(".json") <= 255


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60), min_size=2, max_size=2))
def test_different_texts_have_different_file_names(texts):
    assert (file_name(texts[0]) == file_name(texts[1])) == (texts[0] == texts[1])


def test_long_texts_that_differ_at_their_end_have_different_file_names():
    assert file_name("x" * 240 + "1") != file_name("x" * 240 + "2")

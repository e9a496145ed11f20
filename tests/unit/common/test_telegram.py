"""Escaping and splitting for the Telegram Bot API."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.common.telegram import MESSAGE_LIMIT, escape, plain, split, units


class Reader(HTMLParser):
    """The text of HTML, and a note of whatever is not balanced."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self.open: list[str] = []
        self.trouble: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag == "a" and not dict(attrs).get("href"):
            self.trouble.append("a link without its address")

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.trouble.append(f"</{tag}> closes nothing")

    def handle_data(self, data):
        self.text += data


def read(markup: str) -> str:
    """The text as Telegram shows it; fails where the markup is not valid by itself."""
    reader = Reader()
    reader.feed(markup)
    reader.close()
    assert not reader.trouble, (reader.trouble, markup)
    assert not reader.open, (reader.open, markup)
    return reader.text


def without_spaces(text: str) -> str:
    return "".join(text.split())


def test_only_the_three_characters_of_html_mode_are_escaped():
    assert escape("""<b> & "it's" _*[]""") == """&lt;b&gt; &amp; "it's" _*[]"""


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_escaped_text_is_shown_as_it_was(text):
    assert plain(escape(text)) == text


def test_plain_takes_tags_away_and_entities_back():
    assert plain('<b>a &lt; b</b> <a href="https://example.org/?a=1&amp;b=2">link</a>') == "a < b link"


def test_an_emoji_counts_two_units():
    assert [units("a"), units("я"), units("✅"), units("🚀"), units("a🚀b")] == [1, 1, 1, 2, 4]


def test_a_short_message_is_one_piece_and_unchanged():
    markup = '✅ <b>csv_processing</b>: success\n<a href="http://localhost:8080/">open the run</a>'
    assert split(markup) == [markup]


def test_the_limit_is_telegrams():
    assert MESSAGE_LIMIT == 4096


def test_a_text_of_exactly_the_limit_is_one_piece():
    assert split("x" * 4096) == ["x" * 4096]


def test_a_text_of_one_more_is_two():
    assert [len(piece) for piece in split("x" * 4097)] == [4096, 1]


def test_emoji_are_counted_as_telegram_counts_them():
    pieces = split("🚀" * 4096)
    assert pieces == ["🚀" * 2048, "🚀" * 2048]


def test_nothing_to_say_is_no_message():
    assert split("") == []
    assert split(" \n\n ") == []


def test_markup_without_text_is_no_message():
    assert split("<b></b>") == []


def test_the_cut_is_at_a_line_end():
    assert split("first line\nsecond line\nthird line", limit=25) == ["first line\nsecond line", "third line"]


def test_a_line_longer_than_the_limit_is_cut_within():
    assert split("0123456789" * 3, limit=25) == ["0123456789012345678901234", "56789"]


def test_a_tag_open_at_the_cut_is_closed_and_opened_again():
    assert split("<b>one\ntwo\nthree</b>", limit=15) == ["<b>one\ntwo</b>", "<b>three</b>"]


def test_nested_tags_are_closed_inside_out_and_opened_in_order():
    pieces = split("<b><i>" + "x" * 20 + "</i></b>", limit=24)
    assert pieces == ["<b><i>xxxxxxxxxx</i></b>", "<b><i>xxxxxxxxxx</i></b>"]


def test_a_link_cut_in_two_keeps_its_address_on_both_sides():
    link = '<a href="https://e.org/?a=1&amp;b=2">'
    pieces = split(f"{link}{'x' * 50}</a>", limit=70)
    assert all(piece.startswith(link) and piece.endswith("</a>") for piece in pieces)
    assert "".join(map(read, pieces)) == "x" * 50


def test_an_entity_is_never_cut():
    pieces = split("&amp;" * 10, limit=12)
    assert pieces == ["&amp;&amp;"] * 5


def test_a_surrogate_pair_is_never_cut():
    pieces = split("a" + "🚀" * 10, limit=10)
    assert "".join(pieces) == "a" + "🚀" * 10
    assert all(units(piece) <= 10 for piece in pieces)


def test_a_piece_also_fits_when_it_is_sent_as_plain_text():
    pieces = split("<b>" + "&lt;" * 3000 + "</b>")
    assert all(units(piece) <= 4096 for piece in pieces)
    assert "".join(plain(piece) for piece in pieces) == "<" * 3000


def test_a_tag_that_runs_over_a_line_end_is_a_tag_too():
    pieces = split(f'one\n<a\nhref="https://e.org/">{"x" * 60}</a>', limit=60)
    assert all(units(piece) <= 60 for piece in pieces)
    assert without_spaces("".join(map(read, pieces))) == "one" + "x" * 60


words = st.one_of(
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="<>&"), min_size=1, max_size=30),
    st.sampled_from(["&lt;", "&gt;", "&amp;", "&quot;", "&#128640;", "🚀", "👨‍👩‍👧", "\n", "\n\n", " ", "x" * 70]),
)
tags = st.sampled_from(["<b>", "<i>", '<a href="https://e.io/?a=1&amp;b=2">'])


def wrapped(children):
    return st.tuples(tags, st.lists(children, max_size=5)).map(
        lambda made: made[0] + "".join(made[1]) + f"</{made[0][1]}>"
    )


# Nested at most three deep by construction: opened and closed three links take 117 units.
inner = wrapped(words)
middle = wrapped(st.one_of(words, inner))
markups = st.lists(st.one_of(words, inner, middle, wrapped(st.one_of(words, middle))), max_size=15).map("".join)


@given(markup=markups, limit=st.integers(140, 260))
def test_whatever_is_split_fits_is_valid_and_loses_no_text(markup, limit):
    pieces = split(markup, limit)
    assert all(units(piece) <= limit for piece in pieces)
    assert without_spaces("".join(map(read, pieces))) == without_spaces(read(markup))


@given(markup=st.lists(words, max_size=15).map("".join), limit=st.integers(12, 60))
def test_text_without_tags_is_split_under_small_limits_too(markup, limit):
    pieces = split(markup, limit)
    assert all(0 < units(piece) <= limit for piece in pieces)
    assert without_spaces("".join(map(read, pieces))) == without_spaces(read(markup))


@given(markups)
def test_under_telegrams_limit_markup_that_fits_stays_one_message(markup):
    if units(markup) <= 4096:
        assert len(split(markup)) <= 1


@pytest.mark.parametrize("limit", [11, 12, 13])
def test_a_limit_that_just_holds_a_tag_and_an_entity_is_kept(limit):
    pieces = split("<b>abc&lt;🚀&gt;d</b>", limit)
    assert all(units(piece) <= limit for piece in pieces)
    assert "".join(map(read, pieces)) == "abc<🚀>d"

"""Lists that are shown a page at a time."""

import pytest

from include.web.listing import sliced


@pytest.mark.parametrize(
    ("number", "rows", "first", "last"),
    [(1, [1, 2], 1, 2), (2, [3, 4], 3, 4), (3, [5], 5, 5), (9, [5], 5, 5)],
)
def test_a_page_has_its_rows_and_says_which(number, rows, first, last):
    listing = sliced([1, 2, 3, 4, 5], number, {}, size=2)
    assert (listing.rows, listing.first, listing.last, listing.total, listing.pages) == (rows, first, last, 5, 3)


def test_no_rows_are_one_page():
    listing = sliced([], 1, {})
    assert (listing.first, listing.last, listing.total, listing.pages, listing.number) == (0, 0, 0, 1, 1)


def test_the_address_of_a_page_keeps_the_filters():
    listing = sliced([1, 2, 3], 1, {"q": "a&b", "shown": ""}, size=2)
    assert (listing.address(1), listing.address(2)) == ("?q=a%26b", "?q=a%26b&page=2")

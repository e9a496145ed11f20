"""Lists of rows, a page at a time, filtered by what the address says. `listing.html` draws them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Generic, TypeVar
from urllib.parse import urlencode

from fastapi import Query

Row = TypeVar("Row")

ROWS = 50  # htmx swaps so many without a pause that is seen
# The parameter `page` of a route.
PageNumber = Annotated[int, Query(alias="page", ge=1, le=1_000_000)]


@dataclass(frozen=True)
class Listing(Generic[Row]):
    """The rows of page `number` of all `total`; `query` is what they are filtered by, as in the address."""

    rows: Sequence[Row]
    total: int
    number: int = 1
    query: Mapping[str, str] = field(default_factory=dict)
    size: int = ROWS

    @property
    def pages(self) -> int:
        """How many pages there are; one where there is no row."""
        return max(1, -(-self.total // self.size))

    @property
    def first(self) -> int:
        """The number of the first row here, from 1; 0 where there is none."""
        return (self.number - 1) * self.size + 1 if self.rows else 0

    @property
    def last(self) -> int:
        """The number of the last row here."""
        return self.first + len(self.rows) - 1 if self.rows else 0

    def address(self, number: int) -> str:
        """The query of a page, with the filters kept."""
        asked = {**self.query, **({"page": str(number)} if number > 1 else {})}
        return "?" + urlencode({name: value for name, value in asked.items() if value})


@dataclass(frozen=True)
class Choice:
    """A filter with few values: those of `options`, value -> what a person reads; "" stands for any."""

    name: str
    label: str
    options: Mapping[str, str]


def sliced(rows: Sequence[Row], number: int, query: Mapping[str, str], size: int = ROWS) -> Listing[Row]:
    """A page of rows that are all at hand; the last one where there are not so many."""
    number = min(number, max(1, -(-len(rows) // size)))
    return Listing(rows[(number - 1) * size : number * size], len(rows), number, query, size)

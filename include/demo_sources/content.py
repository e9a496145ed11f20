"""What the demo sources have at a time: one more item every so many seconds, numbered from the epoch on."""

from collections.abc import Iterator
from dataclasses import dataclass

SUBJECTS = (
    *("The old mill", "The weir", "The village library", "A local bakery", "The evening ferry", "The river gauge"),
    *("The town orchestra", "A school class", "The night bus", "The botanical garden", "The harbour crane"),
)
EVENTS = (
    *("reopens after the repairs", "moves to its winter hours", "sets a record for the season", "asks for volunteers"),
    *("is seen from above for the first time", "celebrates its hundredth year", "runs on water power alone"),
    *(
        "gets a new roof",
        "counts its visitors",
        "shows its plans for spring",
        "stays open all night",
        "is painted blue",
    ),
    "tells how it began",
)
TEXTS = (
    "The work took three weeks less than planned, and everybody was invited to the first day.",
    "Readings of the last month are on the notice board; the next ones follow on Monday.",
    "Those who took part say that they would do it again, rain or not.",
    "A map, the times and the prices are at the information desk.",
    "It was last seen like this in 1974, when the river stood two metres higher.",
)


@dataclass(frozen=True)
class Item:
    """One piece of news. `at` is in seconds since the epoch."""

    number: int
    at: float
    title: str
    text: str


def newest(now: float, every: float, count: int, skipped: int = 0) -> Iterator[Item]:
    """The newest items at `now`, newest first, after those that are skipped."""
    last = int(now // every) - skipped
    for number in range(last, last - count, -1):
        yield item(number, every)


def item(number: int, every: float) -> Item:
    """The item of a number; the next ones differ from it in every part."""
    title = f"Demo: {SUBJECTS[number % len(SUBJECTS)]} {EVENTS[number % len(EVENTS)]}"
    return Item(number, number * every, title, f"{TEXTS[number % len(TEXTS)]} (Demo item {number})")

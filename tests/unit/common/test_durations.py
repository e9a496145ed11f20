"""Times as people write and read them."""

import pytest

from include.common.durations import parse_duration, say_duration
from include.common.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1 second", 1.0),
        ("90 seconds", 90.0),
        ("50 minutes", 3000.0),
        ("2 hours", 7200.0),
        ("1 day", 86400.0),
        ("1 days", 86400.0),
    ],
)
def test_a_duration_is_read_as_seconds(text, seconds):
    assert parse_duration(text, "deadline") == seconds


@pytest.mark.parametrize(
    "text", ["", "1", "minute", "-1 minutes", "1  minute", "1 minute ", "1 week", "1 Minute", None]
)
def test_a_duration_that_is_none_is_named_with_its_field(text):
    with pytest.raises(ConfigError) as caught:
        parse_duration(text, "run.deadline")
    assert str(caught.value) == (
        f"run.deadline is `{text}`; allowed is a time such as `90 seconds`, `50 minutes`, `2 hours`"
    )


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0.0 s"),
        (4.21, "4.2 s"),
        (42.4, "42 s"),
        (60, "1 min"),
        (59.7, "1 min"),
        (9.97, "10 s"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (4230, "1 h 10 min"),
        (7500, "2 h 5 min"),
        (3 * 86400 + 4 * 3600 + 59, "3 d 4 h"),
        (86400, "1 d"),
        (3599.5, "1 h"),
    ],
)
def test_a_duration_is_told_in_its_two_largest_units(seconds, expected):
    assert say_duration(seconds) == expected

"""When a source is asked again."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.common.errors import BadInputError
from include.parser_tasks.schedule import check, following, preview, words

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC).timestamp()
SECONDS = {"1 minute": 60, "15 minutes": 900, "2 hours": 7200, "1 day": 86400}
NONE_AT_ALL = [
    "",
    "soon",
    "15m",
    "59 seconds",
    "0 minutes",
    "61 * * * *",
    "* * * * * *",
    "0 0 31 2 *",
    "@never",
    "1 hour\0",
]


@pytest.mark.parametrize(
    ("given", "kept"), [("15 minutes", "15 minutes"), (" */5 *  * * * ", "*/5 * * * *"), ("@daily", "@daily")]
)
def test_a_schedule_is_an_interval_or_a_cron_expression(given, kept):
    assert check(given) == kept


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("15 minutes", "Every 15 minutes"),
        ("1 hour", "Every hour"),
        ("* * * * *", "Every minute"),
        ("*/5 * * * *", "Every 5 minutes"),
        ("30 6 * * 1", "At 06:30, only on Monday (UTC)"),
        ("@daily", "@daily (UTC)"),
    ],
)
def test_a_schedule_has_words(text, said):
    assert words(text) == said


@pytest.mark.parametrize("given", NONE_AT_ALL)
def test_what_is_none_is_named_with_what_is_allowed(given):
    with pytest.raises(BadInputError, match=r"schedule is `.*allowed is an interval"):
        check(given)


@given(due=st.floats(0, 2e9), late=st.floats(0, 1e7), interval=st.sampled_from([*SECONDS]))
def test_an_interval_keeps_to_its_times_however_late_it_is(due, late, interval):
    seconds = SECONDS[interval]
    found = following(interval, due, due + late)
    assert due + late < found <= due + late + seconds + 1e-3
    assert abs((found - due) / seconds - round((found - due) / seconds)) < 1e-6


def test_an_interval_that_is_not_due_stays():
    assert following("1 hour", NOON + 10, NOON) == NOON + 10


def test_a_cron_expression_is_in_utc_and_what_was_missed_is_one_time():
    assert following("30 12 * * *", NOON - 86400 * 9, NOON) == NOON + 1800


def test_the_preview_is_what_the_schedule_does():
    times = [time.timestamp() for time in preview("*/20 * * * *", NOON)]
    assert times == [NOON + 1200 * each for each in range(1, 6)]
    assert [time.timestamp() - NOON for time in preview("1 hour", NOON, 2)] == [3600, 7200]

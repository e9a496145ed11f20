"""The database's clock as a process sees it. The slack is 1 s throughout."""

import pytest

from include.common.limits.clocks import DatabaseClock
from include.common.limits.rate_limit import Seen


def clock_after(*answers):
    """Answers as (database's time, asked at, answered at)."""
    clock = DatabaseClock(1.0)
    for now, sent, came in answers:
        clock.note(Seen(now, 0.0, sent, came))
    return clock


def test_a_start_is_never_taken_before_its_time_on_the_database():
    clock = clock_after((1000.0, 5.0, 5.2))
    # The database said 1000.0 at some moment between 5.0 and 5.2: at 6.2 it is 1001.0 at least.
    assert clock.earliest(6.2) == pytest.approx(1001.0)


def test_a_start_is_late_once_the_database_may_be_past_it_by_the_slack():
    clock = clock_after((1000.0, 5.0, 5.2))
    assert not clock.late(1001.0, 6.99)
    assert clock.late(1001.0, 7.01)


def test_a_quick_answer_makes_a_slow_one_before_or_after_it_precise():
    for answers in ([(1000.0, 5.0, 5.9), (1010.0, 15.0, 15.0)], [(1000.0, 5.0, 5.0), (1010.0, 14.1, 15.0)]):
        assert clock_after(*answers).earliest(20.0) == pytest.approx(1015.0, abs=0.006)


def test_a_database_slower_than_the_slack_leaves_half_of_it_to_start_in():
    clock = clock_after((1000.0, 5.0, 9.0))
    assert clock.earliest(9.0) == 1000.0
    assert not clock.late(1000.0, 9.49)
    assert clock.late(1000.0, 9.51)


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_a_clock_that_was_set_is_followed(step):
    clock = clock_after((1000.0, 5.0, 5.1), (1010.0 + step, 15.0, 15.1))
    assert clock.earliest(15.1) == 1010.0 + step


def test_clocks_that_drift_apart_are_followed():
    clock = clock_after((1000.0, 5.0, 5.0), (4601.0, 3605.0, 3605.0))
    assert clock.earliest(3605.0) == pytest.approx(4601.0)

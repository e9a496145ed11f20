"""The rate limiter, on SQLite and on Postgres, with a clock that the tests turn."""

import math
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.common.database import connect
from include.common.errors import ConfigError, TransientError
from include.common.limits.rate_limit import PATTERN, Rate, RateLimiter, parse_rate
from include.common.schema import migrate
from tests.limits import waits_of


class FakeClock:
    """Seconds since the epoch, as the test says."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def limiter(engine, clock):
    return RateLimiter(engine, clock)


TWO_A_MINUTE = Rate(2, 60)  # a start every 30.5 s: 60 s and the slack of 1 s hold two


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("2/minute", Rate(2, 60)),
        ("1/30 seconds", Rate(1, 30)),
        ("50/second", Rate(50, 1)),
        ("100/hour", Rate(100, 3600)),
        ("500/2 days", Rate(500, 172800)),
        ("50/second burst 10", Rate(50, 1, 10)),
        ("2/30 seconds burst 1", Rate(2, 30)),
    ],
)
def test_a_rate_is_read_as_calls_per_seconds(text, rate):
    assert parse_rate(text) == rate


def test_none_means_no_limit():
    assert parse_rate("none") is None


@pytest.mark.parametrize(
    "text",
    [
        "fast",
        "",
        "0/minute",
        "-1/minute",
        "1.5/second",
        "2/fortnight",
        "2 / minute",
        "/minute",
        "2/",
        "1/0 seconds",
        "2/minute\n",
        "none\n",
        " none",
        "None",
        "2/minute, 3/hour",
        "50/second burst",
        "50/second burst 0",
        "50/second burst -1",
        "50/second  burst 10",
        "50/second burst 10\n",
        "none burst 10",
    ],
)
def test_nonsense_for_a_rate_names_the_field_the_value_and_what_is_allowed(text):
    with pytest.raises(ConfigError) as caught:
        parse_rate(text)
    assert "rate_limit is `" + text + "`" in str(caught.value)
    assert "2/minute" in str(caught.value)


@pytest.mark.parametrize("value", [None, 5, 2.0, True, ["2/minute"]])
def test_a_rate_that_is_no_text_is_a_configuration_error(value):
    with pytest.raises(ConfigError):
        parse_rate(value)


def test_the_field_of_a_bad_rate_is_named_as_the_caller_names_it():
    with pytest.raises(ConfigError, match=r"^pipeline.rate is `fast`"):
        parse_rate("fast", field="pipeline.rate")


@pytest.mark.parametrize("text", ["2/minute\n", "none\n"])
def test_the_pattern_for_parameters_refuses_what_the_parser_refuses(text):
    assert not re.search(PATTERN, text)


def test_the_interval_leaves_room_for_calls_that_start_late_by_the_slack():
    assert [rate.slack for rate in (Rate(50, 1), Rate(1, 30), TWO_A_MINUTE, Rate(100, 86400))] == [0.02, 0.6, 1.0, 1.0]
    assert [rate.interval for rate in (Rate(50, 1), Rate(1, 30), TWO_A_MINUTE)] == [0.0204, 30.6, 30.5]


def test_the_time_for_n_calls_runs_from_the_first_start_to_the_last():
    assert [TWO_A_MINUTE.seconds_for(calls) for calls in (0, 1, 2, 142)] == [0, 0, 30.5, 4300.5]


def test_the_time_for_n_calls_is_nothing_for_those_of_a_burst():
    assert [Rate(2, 60, 3).seconds_for(calls) for calls in (0, 3, 4, 5)] == [0, 0, 30.5, 61]


def waits(limiter, rate=TWO_A_MINUTE, key="csv_api", times=1, permits=1):
    """Seconds to wait of so many reservations at the same moment."""
    return [wait for _ in range(times) for wait in waits_of(limiter.reserve(key, rate, permits))]


def near(*seconds):
    return pytest.approx(seconds, abs=1e-5)


def test_the_first_call_starts_at_once(limiter):
    assert waits(limiter) == near(0)


def test_calls_at_the_same_moment_are_spread_over_the_period(limiter):
    assert waits(limiter, times=4) == near(0, 30.5, 61, 91.5)


def test_several_permits_are_so_many_consecutive_starts(limiter):
    assert waits(limiter, permits=3) == near(0, 30.5, 61)
    assert waits(limiter) == near(91.5)


def test_a_call_that_starts_late_does_not_come_too_near_to_one_in_time(limiter):
    rate = Rate(50, 1)
    starts = limiter.reserve("csv_api", rate, 51).starts
    assert starts[50] - (starts[0] + 0.99 * rate.slack) > 1.0


def test_an_idle_time_gives_no_burst_afterwards(limiter, clock):
    limiter.reserve("csv_api", TWO_A_MINUTE)
    clock.now += 3600
    assert waits(limiter, times=3) == near(0, 30.5, 61)


def test_after_an_idle_time_a_rate_with_a_burst_lets_so_many_start_at_once(limiter, clock):
    rate = Rate(2, 60, burst=3)
    assert waits(limiter, rate, times=5) == near(0, 0, 0, 30.5, 61)
    clock.now += 3600
    assert waits(limiter, rate, permits=4) == near(0, 0, 0, 30.5)


def test_a_burst_comes_back_a_call_an_interval(limiter, clock):
    rate = Rate(2, 60, burst=3)
    limiter.reserve("csv_api", rate, 3)
    clock.now += 61
    assert waits(limiter, rate, permits=4) == near(0, 0, 30.5, 61)


def test_a_call_that_comes_later_waits_for_the_rest_of_the_interval_only(limiter, clock):
    limiter.reserve("csv_api", TWO_A_MINUTE)
    clock.now += 12
    assert waits(limiter) == near(18.5)


def test_keys_do_not_slow_each_other(limiter):
    limiter.reserve("csv_api", TWO_A_MINUTE)
    assert waits(limiter, key="symbol_api") == near(0)


def test_two_processes_share_one_limit(engine, limiter, clock):
    assert waits(limiter) + waits(RateLimiter(engine, clock)) == near(0, 30.5)


def test_what_is_given_back_is_reserved_again(limiter):
    reservation = limiter.reserve("csv_api", TWO_A_MINUTE, 4)
    limiter.give_back("csv_api", reservation, 3)
    assert waits(limiter) == near(30.5)


def test_starts_in_the_middle_are_lost_when_they_are_given_back(limiter):
    reservation = limiter.reserve("csv_api", TWO_A_MINUTE, 3)
    limiter.reserve("csv_api", TWO_A_MINUTE)
    limiter.give_back("csv_api", reservation, 2)
    assert waits(limiter) == near(122)


def test_giving_back_twice_returns_the_starts_once(limiter):
    reservation = limiter.reserve("csv_api", TWO_A_MINUTE, 3)
    limiter.give_back("csv_api", reservation, 1)
    limiter.give_back("csv_api", reservation, 1)
    assert waits(limiter) == near(61)


def test_reservations_given_back_from_the_last_on_leave_nothing(limiter):
    # At this rate an interval is near the rounding of a sum of seconds since the epoch.
    rate = Rate(100_000, 1)
    limiter.reserve("csv_api", rate)
    reservations = [limiter.reserve("csv_api", rate, permits) for permits in (7, 1, 300)]
    for reservation in reversed(reservations):
        limiter.give_back("csv_api", reservation, reservation.permits)
    assert waits(limiter, rate) == pytest.approx([rate.interval], abs=rate.interval / 4)


def test_what_is_given_back_on_one_key_is_nothing_to_another(limiter):
    reservation = limiter.reserve("csv_api", TWO_A_MINUTE)
    limiter.reserve("symbol_api", TWO_A_MINUTE)
    limiter.give_back("csv_api", reservation, 1)
    assert waits(limiter, key="symbol_api") == near(30.5)


def test_a_pause_moves_the_next_start_forward(limiter):
    limiter.defer("csv_api", 100)
    assert waits(limiter) == near(100)


def test_after_a_pause_the_calls_keep_their_distance(limiter):
    limiter.defer("csv_api", 100)
    assert waits(limiter, times=3) == near(100, 130.5, 161)


def test_after_a_pause_a_burst_starts_at_its_end_and_not_before(limiter):
    limiter.reserve("csv_api", Rate(2, 60, burst=3))
    limiter.defer("csv_api", 1000)
    assert waits(limiter, Rate(2, 60, burst=3), times=4) == near(1000, 1000, 1000, 1030.5)


def test_a_short_pause_does_not_bring_the_next_start_nearer(limiter):
    limiter.reserve("csv_api", TWO_A_MINUTE, 5)
    limiter.defer("csv_api", 1)
    assert waits(limiter) == near(152.5)


def test_a_shorter_pause_does_not_end_a_longer_one(limiter):
    limiter.defer("csv_api", 100)
    limiter.defer("csv_api", 5)
    assert waits(limiter) == near(100)


def test_a_pause_on_one_key_is_none_on_another(limiter):
    limiter.defer("csv_api", 100)
    assert waits(limiter, key="symbol_api") == near(0)
    assert limiter.pause("symbol_api") == 0


def test_who_holds_a_start_learns_of_a_pause_that_another_process_was_asked_for(engine, limiter, clock):
    start = limiter.reserve("csv_api", TWO_A_MINUTE, 2).starts[1]
    RateLimiter(engine, clock).defer("csv_api", 100)
    clock.now = start
    assert limiter.pause("csv_api") == pytest.approx(69.5, abs=1e-5)
    clock.now += 100
    assert limiter.pause("csv_api") == 0


def test_the_time_is_the_databases_where_no_clock_is_given(engine):
    limiter = RateLimiter(engine)
    assert waits(limiter, permits=2) == pytest.approx([0, 30.5], abs=5)
    limiter.defer("symbol_api", 100)
    assert limiter.pause("symbol_api") == pytest.approx(100, abs=5)


def test_on_postgres_workers_whose_clocks_differ_share_one_time(engine, monkeypatch):
    if engine.dialect.name == "sqlite":
        return  # one machine, one clock
    monkeypatch.setattr("time.time", lambda: 5.0)
    assert RateLimiter(engine).reserve("csv_api", TWO_A_MINUTE).now > 1_700_000_000


def test_the_limit_survives_the_process(new_database):
    url = new_database()
    migrate(url)
    found = []
    for _ in range(2):
        engine = connect(url)
        found += waits(RateLimiter(engine, FakeClock()))
        engine.dispose()
    assert found == near(0, 30.5)


def test_a_limit_written_before_pauses_were_kept_still_holds(new_database):
    url = new_database()
    migrate(url, "0001")
    engine = connect(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO rate_limits VALUES ('csv_api', 1700000030.25)")
    migrate(url)
    limiter = RateLimiter(engine, FakeClock())
    assert waits(limiter) == near(30.25)
    assert limiter.pause("csv_api") == 0
    engine.dispose()


# What happens next: so many seconds pass, then so many starts are reserved, some of the last reservation are given
# back, or there is a pause of so many seconds.
steps = st.lists(
    st.tuples(
        st.floats(0, 100, allow_nan=False),
        st.one_of(
            st.tuples(st.just("reserve"), st.integers(1, 5)),
            st.tuples(st.just("give back"), st.integers(1, 5)),
            st.tuples(st.just("defer"), st.floats(0, 200, allow_nan=False)),
        ),
    ),
    min_size=1,
    max_size=15,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=steps,
    permits=st.integers(1, 7),
    period=st.sampled_from([1, 30, 60, 3600]),
    burst=st.integers(1, 4),
    late=st.lists(st.floats(0, 0.999, allow_nan=False), min_size=1, max_size=7),
)
def test_no_window_holds_more_starts_than_the_limit_however_late_they_are(engine, steps, permits, period, burst, late):
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM rate_limits")
    clock, rate = FakeClock(), Rate(permits, period, burst)
    limiter = RateLimiter(engine, clock)
    held, paused_until, last = [], -math.inf, None
    for passed, (what, number) in steps:
        clock.now += passed
        if what == "defer":
            limiter.defer("key", number)
            paused_until = max(paused_until, clock.now + number)
            held = [start for start in held if start < clock.now or start >= paused_until]
        elif what == "give back" and last:
            unused = min(number, sum(start >= clock.now for start in last.starts))
            limiter.give_back("key", last, unused)
            given = set(last.starts[last.permits - unused :])
            held, last = [start for start in held if start not in given], None
        elif what == "reserve":
            last = limiter.reserve("key", rate, number)
            assert all(start >= max(clock.now, paused_until) - 1e-5 for start in last.starts)
            held += last.starts
    starts = sorted(start + late[index % len(late)] * rate.slack for index, start in enumerate(held))
    most = permits + burst - 1
    for first, next_after_most in zip(starts, starts[most:], strict=False):
        assert next_after_most - first > period - 1e-5


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps, permits=st.integers(1, 100), period=st.sampled_from([1, 30, 60, 3600]))
def test_nobody_waits_for_nothing(engine, steps, permits, period):
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM rate_limits")
    clock, rate = FakeClock(), Rate(permits, period)
    limiter = RateLimiter(engine, clock)
    free, paused_until, last = -math.inf, -math.inf, None
    for passed, (what, number) in steps:
        clock.now += passed
        if what == "defer":
            limiter.defer("key", number)
            paused_until = max(paused_until, clock.now + number)
        elif what == "give back" and last:
            unused = min(number, last.permits)
            limiter.give_back("key", last, unused)
            free, last = free - unused * rate.interval, None
        elif what == "reserve":
            last = limiter.reserve("key", rate, number)
            first = max(clock.now, free, paused_until)
            assert last.starts == pytest.approx([first + index * rate.interval for index in range(number)], abs=1e-5)
            free = first + number * rate.interval


def test_a_key_of_any_length_has_a_limit_of_its_own(limiter):
    first, second = "a" * 250 + "b" * 300, "a" * 250 + "c" * 300
    reservation = limiter.reserve(first, TWO_A_MINUTE, 2)
    assert waits_of(limiter.reserve(second, TWO_A_MINUTE)) == near(0)
    limiter.give_back(first, reservation, 1)
    limiter.defer(second, 100)
    assert waits_of(limiter.reserve(first, TWO_A_MINUTE)) == near(30.5)
    assert (limiter.pause(first), limiter.pause(second)) == (0, 100)


def test_a_database_that_was_not_migrated_is_an_error_that_says_what_to_do(new_database):
    limiter = RateLimiter(connect(new_database()))
    for ask in (lambda: limiter.reserve("csv_api", TWO_A_MINUTE), lambda: limiter.pause("csv_api")):
        with pytest.raises(ConfigError, match=r"`csv_api`: .*rate_limits.*make migrate") as caught:
            ask()
        assert "INSERT" not in str(caught.value)


def test_a_database_that_does_not_answer_is_an_error_without_its_password():
    limiter = RateLimiter(connect("postgresql+psycopg2://me:hunter2@127.0.0.1:1/nothing"))
    with pytest.raises(TransientError, match=r"`csv_api`: connection .*refused") as caught:
        limiter.reserve("csv_api", TWO_A_MINUTE)
    assert "hunter2" not in str(caught.value)


def test_a_database_that_is_locked_is_an_error_that_may_pass(tmp_path, monkeypatch):
    monkeypatch.setattr("include.common.database.SQLITE_BUSY_TIMEOUT", 0)
    url = f"sqlite:///{tmp_path / 'headrace.db'}"
    migrate(url)
    with connect(url).connect() as other:
        other.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(TransientError, match="database is locked"):
            RateLimiter(connect(url)).reserve("csv_api", TWO_A_MINUTE)

"""The rate limiter, on a real SQLite file and a clock that the tests turn."""

import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.common.database import connect, migrate
from include.common.errors import ConfigError, TransientError
from include.common.rate_limit import PATTERN, Rate, RateLimiter, parse_rate


class FakeClock:
    """Seconds since the epoch, as the test says."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('database') / 'headrace.db'}"
    migrate(url)
    engine = connect(url)
    yield engine
    engine.dispose()


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def limiter(engine, clock):
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM rate_limits")
    return RateLimiter(engine, clock)


TWO_A_MINUTE = Rate(2, 60)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("2/minute", Rate(2, 60)),
        ("1/30 seconds", Rate(1, 30)),
        ("50/second", Rate(50, 1)),
        ("100/hour", Rate(100, 3600)),
        ("500/2 days", Rate(500, 172800)),
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


def test_the_interval_is_the_time_between_two_starts():
    assert Rate(2, 60).interval == 30


def test_the_time_for_n_calls_runs_from_the_first_start_to_the_last():
    assert [TWO_A_MINUTE.seconds_for(calls) for calls in (0, 1, 2, 142)] == [0, 0, 30, 4230]


def test_the_first_call_starts_at_once(limiter):
    assert limiter.reserve("csv_api", TWO_A_MINUTE) == pytest.approx(0, abs=1e-5)


def test_calls_at_the_same_moment_are_spread_over_the_period(limiter):
    waits = [limiter.reserve("csv_api", TWO_A_MINUTE) for _ in range(4)]
    assert waits == pytest.approx([0, 30, 60, 90], abs=1e-5)


def test_an_idle_time_gives_no_burst_afterwards(limiter, clock):
    limiter.reserve("csv_api", TWO_A_MINUTE)
    clock.now += 3600
    waits = [limiter.reserve("csv_api", TWO_A_MINUTE) for _ in range(3)]
    assert waits == pytest.approx([0, 30, 60], abs=1e-5)


def test_a_call_that_comes_later_waits_for_the_rest_of_the_interval_only(limiter, clock):
    limiter.reserve("csv_api", TWO_A_MINUTE)
    clock.now += 12
    assert limiter.reserve("csv_api", TWO_A_MINUTE) == pytest.approx(18, abs=1e-5)


def test_keys_do_not_slow_each_other(limiter):
    limiter.reserve("csv_api", TWO_A_MINUTE)
    assert limiter.reserve("symbol_api", TWO_A_MINUTE) == pytest.approx(0, abs=1e-5)


def test_two_processes_share_one_limit(engine, limiter, clock):
    other = RateLimiter(engine, clock)
    waits = [limiter.reserve("csv_api", TWO_A_MINUTE), other.reserve("csv_api", TWO_A_MINUTE)]
    assert waits == pytest.approx([0, 30], abs=1e-5)


def test_a_pause_moves_the_next_start_forward(limiter):
    limiter.defer("csv_api", 100)
    assert limiter.reserve("csv_api", TWO_A_MINUTE) == pytest.approx(100, abs=1e-5)


def test_after_a_pause_the_calls_keep_their_distance(limiter):
    limiter.defer("csv_api", 100)
    waits = [limiter.reserve("csv_api", TWO_A_MINUTE) for _ in range(3)]
    assert waits == pytest.approx([100, 130, 160], abs=1e-5)


def test_a_short_pause_does_not_bring_the_next_start_nearer(limiter):
    for _ in range(5):
        limiter.reserve("csv_api", TWO_A_MINUTE)
    limiter.defer("csv_api", 1)
    assert limiter.reserve("csv_api", TWO_A_MINUTE) == pytest.approx(150, abs=1e-5)


def test_a_pause_on_one_key_is_none_on_another(limiter):
    limiter.defer("csv_api", 100)
    assert limiter.reserve("symbol_api", TWO_A_MINUTE) == pytest.approx(0, abs=1e-5)


def test_the_limit_survives_the_process(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'headrace.db'}"
    migrate(url)
    waits = []
    for _ in range(2):
        engine = connect(url)
        waits.append(RateLimiter(engine, FakeClock()).reserve("csv_api", TWO_A_MINUTE))
        engine.dispose()
    assert waits == pytest.approx([0, 30], abs=1e-5)


# What happens next: so many seconds pass, then a reservation, or a pause of so many seconds.
steps = st.lists(
    st.tuples(
        st.floats(0, 100, allow_nan=False),
        st.one_of(st.just("reserve"), st.floats(0, 200, allow_nan=False)),
    ),
    min_size=1,
    max_size=15,
)


@given(steps=steps, permits=st.integers(1, 100), period=st.sampled_from([1, 30, 60, 3600]))
def test_starts_keep_their_distance_and_none_is_in_the_past(engine, steps, permits, period):
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM rate_limits")
    clock, rate = FakeClock(), Rate(permits, period)
    limiter = RateLimiter(engine, clock)
    last, paused_until = -math.inf, -math.inf
    for passed, what in steps:
        clock.now += passed
        if what != "reserve":
            limiter.defer("key", what)
            paused_until = max(paused_until, clock.now + what)
            continue
        wait = limiter.reserve("key", rate)
        start = clock.now + wait
        assert wait >= 0
        assert start >= last + rate.interval - 1e-5
        assert start >= paused_until - 1e-5
        # ... and not later than it must be: nobody waits for nothing.
        assert start <= max(clock.now, last + rate.interval, paused_until) + 1e-5
        last = start


def test_a_database_that_was_not_migrated_is_an_error_that_says_what_to_do(tmp_path):
    limiter = RateLimiter(connect(f"sqlite:///{tmp_path / 'empty.db'}"))
    with pytest.raises(TransientError, match=r"`csv_api`: no such table: rate_limits .*make migrate"):
        limiter.reserve("csv_api", TWO_A_MINUTE)


def test_a_database_that_is_locked_is_an_error_that_may_pass(tmp_path, monkeypatch):
    monkeypatch.setattr("include.common.database.SQLITE_BUSY_TIMEOUT", 0)
    url = f"sqlite:///{tmp_path / 'headrace.db'}"
    migrate(url)
    with connect(url).connect() as other:
        other.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(TransientError, match="database is locked"):
            RateLimiter(connect(url)).reserve("csv_api", TWO_A_MINUTE)

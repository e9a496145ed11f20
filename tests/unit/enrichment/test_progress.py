"""How far the calls of a chunk are."""

import pytest

from include.enrichment.progress import SAMPLES, Meter, Progress


def progress(**fields) -> Progress:
    counts = {"done": 0, "total": 100, "failed": 0, "retry": 0, "per_second": 0.0, "waiting": 0.0, "eta": None}
    return Progress(**counts | fields)


def test_the_line_tells_everything_there_is_to_tell():
    found = progress(done=1200, total=2000, failed=3, retry=2, per_second=49.84, waiting=24.0, eta=16.0)
    assert found.line() == "1200/2000 rows, 49.8 a second, 3 failed, 2 to retry, waiting 24 s for the limit, 16 s left"


def test_the_line_leaves_out_what_there_is_not():
    assert progress(done=5, per_second=2.0).line() == "5/100 rows, 2 a second"


@pytest.mark.parametrize(("waiting", "told"), [(0.9, False), (1.0, True)])
def test_a_wait_of_less_than_a_second_is_not_worth_a_word(waiting, told):
    assert ("waiting" in progress(waiting=waiting).line()) is told


def test_an_outage_is_told():
    assert progress(done=5, outage=True).line() == "5/100 rows, 0 a second, waiting for the API to come back"


def test_a_chunk_that_is_done_has_no_time_left():
    assert "left" not in progress(done=100, per_second=2.0, eta=0.0).line()


def test_it_is_plain_enough_for_json():
    assert progress(done=1, eta=2.5).as_dict() == {
        "done": 1,
        "total": 100,
        "failed": 0,
        "retry": 0,
        "per_second": 0.0,
        "waiting": 0.0,
        "eta": 2.5,
        "outage": False,
    }


def test_before_anything_has_ended_nothing_is_foretold():
    found = Meter(total=100, done=0, now=50.0).read(done=0, failed=0, retry=0, waiting=0, now=50.0)
    assert (found.per_second, found.eta) == (0.0, None)


def test_pace_and_time_left_come_from_what_was_done():
    found = Meter(total=100, done=0, now=50.0).read(done=20, failed=1, retry=0, waiting=0, now=60.0)
    assert (found.per_second, found.eta) == (2.0, 40.0)


def test_rows_of_earlier_tries_do_not_count_for_the_pace():
    found = Meter(total=100, done=40, now=50.0).read(done=50, failed=0, retry=0, waiting=0, now=60.0)
    assert (found.per_second, found.eta) == (1.0, 50.0)


def test_rows_that_wait_for_the_next_try_take_no_time_of_this_one():
    found = Meter(total=100, done=0, now=0.0).read(done=50, failed=0, retry=30, waiting=0, now=50.0)
    assert found.eta == 20.0


def test_the_pace_is_that_of_the_last_samples():
    meter = Meter(total=10_000, done=0, now=0.0)
    for number in range(1, SAMPLES + 1):  # slow at first
        meter.read(done=number, failed=0, retry=0, waiting=0, now=5.0 * number)
    since, before = 5.0 * SAMPLES, SAMPLES
    for number in range(1, SAMPLES):
        meter.read(done=before + 50 * number, failed=0, retry=0, waiting=0, now=since + 5.0 * number)
    found = meter.read(done=before + 50 * SAMPLES, failed=0, retry=0, waiting=0, now=since + 5.0 * SAMPLES)
    assert found.per_second == 10.0

"""The list of workers that are there, on SQLite and on Postgres."""

import pytest

from include.common.limits.models import KEY_LENGTH
from include.common.limits.workers import ANNOUNCE_EVERY, TERM, Workers
from tests.virtual_time import VirtualTime


@pytest.fixture
def clock():
    return VirtualTime()


@pytest.fixture
def workers(engine, clock):
    return Workers(engine, clock)


def test_whoever_asks_is_run_by_a_worker(workers):
    assert workers.present() == 1


def test_each_worker_counts_once(workers):
    for name in ("a", "b", "a", "c"):
        workers.announce(name)
    assert workers.present() == 3


def test_a_worker_that_leaves_counts_no_longer(workers):
    workers.announce("a")
    workers.announce("b")
    workers.announce("c")
    workers.leave("b")
    assert workers.present() == 2


def test_a_worker_that_is_gone_counts_until_two_announcements_are_missing(workers, clock):
    workers.announce("gone")
    for _ in range(3):
        clock.now += ANNOUNCE_EVERY
        workers.announce("a")
        workers.announce("b")
    assert TERM == 3 * ANNOUNCE_EVERY
    assert workers.present() == 3
    clock.now += 0.1
    assert workers.present() == 2


def test_a_name_that_is_longer_than_its_column_is_one_worker(workers):
    for _ in range(2):
        workers.announce("a" * (KEY_LENGTH + 50))
    workers.announce("b")
    assert workers.present() == 2


def test_without_a_clock_of_the_test_it_is_the_databases(engine):
    workers = Workers(engine)
    workers.announce("a")
    workers.announce("b")
    assert workers.present() == 2

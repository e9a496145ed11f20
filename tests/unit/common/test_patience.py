"""Waiting for a database that is away."""

import asyncio
import logging

import pytest

from include.common import patience
from include.common.errors import ConfigError, TransientError
from include.common.patience import EVERY, TRIES, Patience, patiently
from tests.virtual_time import at_once


class Database:
    """Away for the first `away` questions; notes how long was waited between them."""

    def __init__(self, away, error=None):
        self.away, self.asked, self.slept = away, 0, []
        self.error = error or TransientError("the application database cannot be used: it is away")

    def answer(self, question):
        self.asked += 1
        if self.asked <= self.away:
            raise self.error
        return f"an answer to {question}"

    async def sleep(self, seconds):
        self.slept.append(seconds)


def patient(database):
    return Patience(sleep=database.sleep, thread=at_once)


async def test_a_database_that_is_away_is_waited_for():
    database = Database(away=150)  # 5 minutes
    assert await patient(database)(database.answer, "this") == "an answer to this"
    assert sum(database.slept) == 150 * EVERY == 300


async def test_what_is_waited_for_is_said_now_and_then(caplog):
    database = Database(away=31)
    with caplog.at_level(logging.WARNING):
        await patient(database)(database.answer, "this")
    assert caplog.messages == ["waiting: the application database cannot be used: it is away"] * 3


async def test_an_error_that_will_not_pass_is_not_waited_for():
    database = Database(away=1, error=ConfigError("the table is missing"))
    with pytest.raises(ConfigError, match="the table is missing"):
        await patient(database)(database.answer, "this")
    assert (database.asked, database.slept) == (1, [])


async def test_after_a_quarter_of_an_hour_the_last_error_is_raised():
    database = Database(away=TRIES)
    with pytest.raises(TransientError, match="it is away"):
        await patient(database)(database.answer, "this")
    assert sum(database.slept) == pytest.approx(900, abs=EVERY)


async def test_who_gives_up_waits_no_more():
    database = Database(away=TRIES)
    impatient = Patience(sleep=database.sleep, thread=at_once)
    impatient.give_up()
    with pytest.raises(TransientError, match="it is away"):
        await impatient(database.answer, "this")
    assert database.asked == 1


async def test_a_database_that_does_not_answer_at_all_is_named_in_the_log(caplog, monkeypatch):
    async def slowly(function, *arguments):
        for _ in range(10):
            await asyncio.sleep(0)
        return function(*arguments)

    monkeypatch.setattr(patience, "UNANSWERED", 0.0)
    with caplog.at_level(logging.WARNING):
        assert await Patience(thread=slowly)(Database(away=0).answer, "this") == "an answer to this"
    assert caplog.messages == ["the database does not answer: waiting"]


def test_code_without_an_event_loop_waits_as_well():
    database = Database(away=3)
    assert patiently(database.answer, "this", sleep=database.slept.append) == "an answer to this"
    assert database.slept == [EVERY] * 3

"""Budgets of calls, on SQLite and on Postgres."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.common.database import connect
from include.common.errors import ConfigError, TransientError
from include.common.limits.budget import Allowance, Budgets
from tests.limits import used
from tests.virtual_time import at_once


@pytest.fixture
def budgets(engine):
    return Budgets(engine)


class CountingBudgets(Budgets):
    """The real budgets, which note how many calls were asked for at once."""

    def __init__(self, engine):
        super().__init__(engine)
        self.asked, self.error = [], None

    def take(self, key, calls, most):
        self.asked.append(calls)
        if self.error:
            raise self.error
        return super().take(key, calls, most)


def test_calls_are_granted_until_the_budget_is_used_up(engine, budgets):
    assert [budgets.take("run", 4, most=10) for _ in range(4)] == [4, 4, 2, 0]
    assert used(engine, "run") == 10


def test_budgets_do_not_share_calls(budgets):
    budgets.take("run", 10, most=10)
    assert budgets.take("another run", 3, most=10) == 3


def test_what_is_given_back_is_granted_again(budgets):
    budgets.take("run", 10, most=10)
    budgets.give_back("run", 3)
    assert budgets.take("run", 5, most=10) == 3


def test_a_budget_that_was_lowered_meanwhile_grants_nothing(engine, budgets):
    budgets.take("run", 8, most=10)
    assert budgets.take("run", 1, most=5) == 0
    assert used(engine, "run") == 8


def test_a_budget_that_is_forgotten_begins_anew(engine, budgets):
    budgets.take("run", 8, most=10)
    budgets.forget("run")
    assert used(engine, "run") == 0
    assert budgets.take("run", 20, most=10) == 10


def test_a_key_of_any_length_has_a_budget_of_its_own(engine, budgets):
    first, second = "a" * 250 + "b" * 300, "a" * 250 + "c" * 300
    assert [budgets.take(key, 4, most=10) for key in (first, second, first)] == [4, 4, 4]
    budgets.give_back(first, 3)
    budgets.forget(second)
    assert [used(engine, key) for key in (first, second)] == [5, 0]


def test_a_key_that_fits_is_stored_as_it_is(budgets, engine):
    key = "ключ " * 50
    budgets.take(key, 1, most=1)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT key FROM budgets").scalars().all() == [key]


def test_a_database_that_was_not_migrated_is_an_error_that_says_what_to_do(new_database):
    budgets = Budgets(connect(new_database()))
    for ask in (lambda: budgets.take("run", 1, 5), lambda: budgets.forget("run")):
        with pytest.raises(ConfigError, match=r"the budget `run`: .*budgets.*make migrate"):
            ask()


steps = st.lists(st.tuples(st.sampled_from(["take", "give back"]), st.integers(1, 9)), max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps, most=st.integers(0, 20))
def test_never_more_is_granted_than_the_budget_and_never_less_than_is_left(engine, steps, most):
    budgets, held = Budgets(engine), 0
    budgets.forget("run")
    for what, calls in steps:
        if what == "take":
            granted = budgets.take("run", calls, most)
            assert granted == min(calls, most - held)
            held += granted
        else:
            calls = min(calls, held)
            budgets.give_back("run", calls)
            held -= calls
        assert used(engine, "run") == held


async def test_workers_that_ask_at_the_same_moment_are_one_statement(engine):
    budgets = CountingBudgets(engine)
    allowance = Allowance(budgets, "run", 7, thread=at_once)
    answers = await asyncio.gather(*(allowance.take() for _ in range(10)))
    assert answers == [True] * 7 + [False] * 3
    assert budgets.asked == [10]


async def test_nothing_is_taken_ahead(engine, budgets):
    allowance = Allowance(budgets, "run", 7)
    assert await allowance.take()
    assert used(engine, "run") == 1


async def test_two_processes_make_as_many_calls_as_the_budget_has(engine):
    allowances = [Allowance(Budgets(engine), "run", 37, thread=at_once) for _ in range(2)]
    made = 0

    async def work(allowance):
        nonlocal made
        while await allowance.take():
            made += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for index in range(10):
            group.create_task(work(allowances[index % 2]))
    assert made == 37


async def test_a_call_granted_to_a_worker_that_was_cancelled_goes_to_the_next(engine, budgets):
    allowance = Allowance(budgets, "run", 1, thread=at_once)
    cancelled = asyncio.create_task(allowance.take())
    await asyncio.sleep(0)
    cancelled.cancel()
    assert await allowance.take()
    assert used(engine, "run") == 1


async def test_closing_gives_back_what_workers_that_were_cancelled_did_not_use(engine, budgets):
    allowance = Allowance(budgets, "run", 5, thread=at_once)
    cancelled = asyncio.create_task(allowance.take())
    await asyncio.sleep(0)  # it has asked,
    await asyncio.sleep(0)  # and the statement is under way
    cancelled.cancel()
    await allowance.close()
    assert used(engine, "run") == 0


async def test_a_call_that_is_not_made_is_given_back(engine, budgets):
    allowance = Allowance(budgets, "run", 1, thread=at_once)
    assert await allowance.take()
    allowance.give_back()
    assert await allowance.take()
    assert not await allowance.take()
    allowance.give_back()
    await allowance.close()
    assert used(engine, "run") == 0


async def test_a_database_that_is_gone_at_the_end_costs_a_warning(engine, budgets, monkeypatch, caplog):
    allowance = Allowance(budgets, "run", 5, thread=at_once)
    assert await allowance.take()
    allowance.give_back()

    def gone(*_):
        raise TransientError("the application database cannot be used")

    monkeypatch.setattr(budgets, "give_back", gone)
    await allowance.close()
    assert "1 calls of the budget that nobody made are lost: the application database cannot be used" in caplog.text


async def test_every_worker_learns_of_a_database_that_does_not_answer(engine):
    budgets = CountingBudgets(engine)
    budgets.error = TransientError("the application database cannot be used")
    allowance = Allowance(budgets, "run", 5, thread=at_once)
    assert await asyncio.gather(*(allowance.take() for _ in range(3)), return_exceptions=True) == [budgets.error] * 3
    budgets.error = None
    assert await allowance.take()

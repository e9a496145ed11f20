"""How errors end a task: by their type, with their sentence kept."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.sdk import RetryAction
from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException, AirflowSkipException

from include.common.errors import BadInputError, InterruptedTaskError, TransientError
from include.orchestration import failures
from include.orchestration.failures import RetryWhenAsked, TaskToRetry, reported


@pytest.fixture
def pushed(monkeypatch):
    """The XComs that a failing task leaves."""
    kept = {}
    ti = SimpleNamespace(xcom_push=lambda key, value: kept.update({key: value}))
    monkeypatch.setattr(failures, "get_current_context", lambda: {"ti": ti})
    return kept


def failing(error):
    @reported
    def task():
        raise error

    return task


def test_a_permanent_error_ends_the_task_without_retries_and_without_a_chained_trace(pushed):
    with pytest.raises(AirflowFailException, match="no such column") as caught:
        failing(BadInputError("no such column"))()
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert pushed == {"error": "no such column"}


def test_a_transient_error_is_retried_after_the_time_that_was_asked_for(pushed):
    with pytest.raises(TaskToRetry) as caught:
        failing(TransientError("busy", 7))()
    decision = RetryWhenAsked().evaluate(caught.value, try_number=1, max_tries=3)
    assert (decision.action, decision.retry_delay) == (RetryAction.RETRY, timedelta(seconds=7))


def test_without_such_a_time_the_tasks_own_delay_holds(pushed):
    with pytest.raises(TaskToRetry) as caught:
        failing(TransientError("busy"))()
    assert RetryWhenAsked().evaluate(caught.value, 1, 3).action is RetryAction.DEFAULT


def test_a_task_that_was_told_to_end_starts_again_at_once_and_uses_up_no_try(pushed):
    with pytest.raises(AirflowRescheduleException) as caught:
        failing(InterruptedTaskError("told to end"))()
    assert caught.value.reschedule_date <= datetime.now(UTC)
    assert pushed == {}


def test_a_full_disk_is_a_sentence_and_retried(pushed):
    with pytest.raises(TaskToRetry, match="No space left on device: `/data/x`"):
        failing(OSError(28, "No space left on device", "/data/x"))()


def test_an_unforeseen_error_keeps_its_type_for_airflow_to_retry(pushed):
    with pytest.raises(KeyError):
        failing(KeyError("x"))()
    assert pushed == {"error": "KeyError: 'x'"}


def test_a_sentence_is_one_line_without_characters_that_command_a_terminal(pushed):
    with pytest.raises(AirflowFailException) as caught:
        failing(BadInputError("the transform raised ValueError: \x1b[2J\n" + "x" * 9000 + "the end"))()
    assert pushed["error"] == str(caught.value)
    assert str(caught.value).isprintable()
    assert str(caught.value).startswith(r"the transform raised ValueError: \x1b[2J xxx")
    assert str(caught.value).endswith("xthe end")
    assert len(str(caught.value)) == 2000


def test_airflows_own_exceptions_pass(pushed):
    with pytest.raises(AirflowSkipException):
        failing(AirflowSkipException("dry run"))()
    assert pushed == {}


async def test_an_async_task_is_reported_as_well(pushed):
    @reported
    async def task():
        raise BadInputError("no such column")

    with pytest.raises(AirflowFailException):
        await task()
    assert pushed == {"error": "no such column"}

"""How a task ends when a lower layer raises: retried or not by the error's type, its sentence kept for the report."""

import functools
import inspect
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import RetryDecision, RetryPolicy, get_current_context
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowRescheduleException

from include.common.errors import HeadraceError, InterruptedTaskError, PermanentError, TransientError
from include.common.text import one_line
from include.orchestration.memory import limit_memory, too_much

log = logging.getLogger(__name__)
# The XCom that holds the sentence of a failed try; Airflow clears it when the next try starts.
ERROR = "error"
LONGEST = 2000  # characters of it


class TaskToRetry(AirflowException):
    """A transient failure: Airflow tries again, after `retry_after` seconds where the other side named them."""

    def __init__(self, message: str, retry_after: float | None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RetryWhenAsked(RetryPolicy):
    """Retries after the time that the other side asked for, else after the task's own delay."""

    def evaluate(self, exception: BaseException, try_number: int, max_tries: int, context: Any = None) -> RetryDecision:
        """See `RetryPolicy`."""
        if isinstance(exception, TaskToRetry) and exception.retry_after is not None:
            return RetryDecision.retry(delay=timedelta(seconds=exception.retry_after))
        return RetryDecision.default()


def reported(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a task's function, plain or async, so that its errors end the task as their type says."""
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def wait(*args: Any, **kwargs: Any) -> Any:
            try:
                limit_memory()
                return await function(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 (an entry point)
                failure = _failure(error)
            raise failure

        return wait

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            limit_memory()
            return function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 (an entry point)
            failure = _failure(error)
        raise failure

    return call


def _failure(error: Exception) -> Exception:
    """The exception to end the task with. Raised outside the `except`, so that a sentence comes without a trace."""
    if isinstance(error, AirflowException):
        return error
    if isinstance(error, InterruptedTaskError):  # starts again as the same try: none is used up
        log.warning("%s", error)
        return AirflowRescheduleException(datetime.now(UTC))  # type: ignore[no-untyped-call]
    if isinstance(error, MemoryError):
        error = PermanentError(too_much())
    elif isinstance(error, OSError):
        error = TransientError(f"{error.strerror or error}" + (f": `{error.filename}`" if error.filename else ""))
    sentence = str(error) if isinstance(error, HeadraceError) else f"{type(error).__name__}: {error}"
    sentence = one_line(sentence, LONGEST)
    get_current_context()["ti"].xcom_push(key=ERROR, value=sentence)
    log.error("%s", sentence)
    if isinstance(error, PermanentError):
        return AirflowFailException(sentence)
    if isinstance(error, TransientError):
        return TaskToRetry(sentence, error.retry_after)
    return error

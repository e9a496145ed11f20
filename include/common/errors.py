"""The errors of Headrace: whether to try again is in the type, decided where the answer is read.

Their message is a sentence for a person: what, with which value, what was allowed, where we looked.
It never holds a secret. Entry points translate them; nothing else catches them broadly.
"""

from include.common.text import shown


class HeadraceError(Exception):
    """Anything Headrace reports by a sentence instead of a stack trace."""


class TransientError(HeadraceError):
    """The same thing may succeed later.

    `retry_after` is the number of seconds the other side asked us to wait, if it named one.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class InterruptedTaskError(TransientError):
    """The process was told to end. Nothing failed: what is left to do is done by the next one."""


class PermanentError(HeadraceError):
    """The same thing will fail again: do not repeat it."""


class ConfigError(PermanentError):
    """What a person configured cannot work: names the field, the value and what is allowed."""


class BadInputError(PermanentError):
    """The data handed in cannot be used: names the place and what was expected there."""


class NotFoundError(PermanentError):
    """What was named is not there, or no longer."""


class ConflictError(PermanentError):
    """What was to be stored contradicts what is stored: a uniqueness, a reference, a check. The caller's business."""


def quoted(names: tuple[str, ...]) -> str:
    """Names for a message: `a`, `b`, `c`; a long list is cut with its length."""
    first = ", ".join(f"`{shown(name)}`" for name in names[:20])
    return first if len(names) <= 20 else f"{first}, … ({len(names)} in all)"

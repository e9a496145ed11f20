"""What a call must pass before it starts: the pace, the budget, the right of this try."""

from typing import Protocol


class Pace(Protocol):
    """When the next call may start, for all processes that share the limit."""

    @property
    def waiting(self) -> float:
        """Seconds until the next call of this process may start; 0 where none waits."""

    @property
    def waited(self) -> float:
        """Seconds that its calls have waited, all together."""

    async def start(self) -> None:
        """Returns when one call may start."""

    async def defer(self, seconds: float) -> None:
        """The API asked for a pause of `seconds`."""


class Allowance(Protocol):
    """The calls that the run may still make."""

    async def take(self) -> bool:
        """Whether one more call may be made, which then counts."""

    def give_back(self) -> None:
        """A call that was granted is not made."""


class Lease(Protocol):
    """The right of this try to call: a newer one may have begun somewhere else."""

    @property
    def held(self) -> bool:
        """Whether a call may start now."""

    async def regained(self) -> None:
        """Returns once it is held again; raises `TransientError` where it is lost."""


class AlwaysHeld:
    """For a try that no other one can follow."""

    held = True

    async def regained(self) -> None:
        """At once."""

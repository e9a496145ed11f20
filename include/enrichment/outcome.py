"""How one try of a chunk ended."""

from dataclasses import dataclass


@dataclass
class Outcome:
    """How the rows of one try ended.

    `wait` is how many seconds are left of a pause that the API asked for; None where the failures named none. `left`
    says why rows were left that no later try calls (a budget, a deadline); `outage` is how many seconds were waited in
    vain for the API to come back.
    """

    ok: int = 0
    failed: int = 0
    transient: int = 0
    wait: float | None = None
    first_error: str = ""
    left: str | None = None
    outage: float | None = None

    def note_error(self, error: str) -> None:
        """Keep the first error, to say something of it."""
        self.first_error = self.first_error or error

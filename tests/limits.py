"""What tests read of the limits: a reservation's waits, and how many calls of a budget are taken."""

import sqlalchemy

from include.common.limits.models import Budget, stored
from include.common.limits.rate_limit import Reservation


def waits_of(reservation: Reservation) -> tuple[float, ...]:
    """Seconds from the reservation's moment to each of its starts."""
    return tuple(max(0.0, start - reservation.now) for start in reservation.starts)


def used(engine: sqlalchemy.Engine, key: str) -> int:
    """How many calls are taken under a key, 0 for one never used."""
    with engine.connect() as connection:
        read = sqlalchemy.select(Budget.used).where(Budget.key == stored(key))
        return connection.execute(read).scalar_one_or_none() or 0

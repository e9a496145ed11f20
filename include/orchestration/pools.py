"""The Airflow pools of `include/pools.json`, which cap requests in flight over all workers and runs."""

import json
from functools import cache
from pathlib import Path

from include.common.errors import ConfigError

POOLS = Path(__file__).resolve().parent.parent / "pools.json"
# Mapped tasks that one run keeps busy: each is a process of about 150 MB, and more of them answer no faster.
TASKS_AT_ONCE = 5


@cache
def slots(pool: str) -> int:
    """How many requests of `pool` may be in flight. `ConfigError` for an unknown pool or one without slots."""
    try:
        pools = json.loads(POOLS.read_text("utf-8"))
    except ValueError as error:
        raise ConfigError(f"`{POOLS}` is not JSON: {error}") from error
    if pool not in pools:
        raise ConfigError(f"pool is `{pool}`; allowed is one of {', '.join(sorted(pools))} (from `{POOLS}`)")
    found = pools[pool].get("slots")
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise ConfigError(f"slots of the pool `{pool}` is `{found}` in `{POOLS}`; allowed is a whole number from 1")
    return found


def requests_per_task(pool: str) -> int:
    """Requests in flight of one mapped task, which takes as many slots of the pool."""
    return max(1, slots(pool) // TASKS_AT_ONCE)


def tasks_at_once(pool: str) -> int:
    """How many mapped tasks the pool lets run at once."""
    return slots(pool) // requests_per_task(pool)

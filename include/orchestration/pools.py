"""The Airflow pools of `include/pools.json`, which cap requests in flight over all workers and runs.

`HEADRACE_POOLS` names another file: a deployment has its own slots without an edit of the bundle.
"""

import json
import os
from collections.abc import Mapping
from functools import cache
from typing import Any

from include.common.errors import ConfigError
from include.common.storage import Place
from include.orchestration.paths import PROJECT, located

VARIABLE = "HEADRACE_POOLS"
POOLS = PROJECT / "include/pools.json"
# Mapped tasks that one run keeps busy. A pool of few slots is shared out among five, so that rows which are tasks of
# their own run side by side. A larger one goes to two: a process makes some thousand calls a second, and more of them
# answer no faster, but take 150 MB and the CPU of their own each.
TASKS_OF_FEW_SLOTS, FEW_SLOTS, TASKS_OF_MANY = 5, 20, 2


def pools_file(environment: Mapping[str, str] = os.environ) -> Place:
    """The file of the pools: `HEADRACE_POOLS` (below the project if relative), else `include/pools.json`."""
    text = environment.get(VARIABLE, "").strip()
    return located(text, VARIABLE) if text else POOLS


def read_pools(path: Place) -> dict[str, dict[str, Any]]:
    """Every pool by its name. `ConfigError` where the file does not hold pools."""
    try:
        pools = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"the pools file `{path}` ({VARIABLE}) cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"`{path}` is not JSON: {error}") from error
    if not isinstance(pools, dict) or not all(isinstance(pool, dict) for pool in pools.values()):
        raise ConfigError(f"`{path}` must hold an object of pools, such as {{'csv_api': {{'slots': 5}}}}")
    return pools


@cache
def slots(pool: str) -> int:
    """How many requests of `pool` may be in flight. `ConfigError` for an unknown pool or one without slots."""
    path = pools_file()
    pools = read_pools(path)
    if pool not in pools:
        raise ConfigError(f"pool is `{pool}`; allowed is one of {', '.join(sorted(pools))} (from `{path}`)")
    found = pools[pool].get("slots")
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise ConfigError(f"slots of the pool `{pool}` is `{found}` in `{path}`; allowed is a whole number from 1")
    return found


def requests_per_task(pool: str) -> int:
    """Requests in flight of one mapped task, which takes as many slots of the pool."""
    found = slots(pool)
    return max(1, found // (TASKS_OF_FEW_SLOTS if found <= FEW_SLOTS else TASKS_OF_MANY))


def tasks_at_once(pool: str) -> int:
    """How many mapped tasks the pool lets run at once."""
    return slots(pool) // requests_per_task(pool)

"""The Airflow pools of `include/pools.json`, which cap requests in flight over all workers and runs.

`HEADRACE_POOLS` names another file: a deployment has its own slots without an edit of the bundle. The file says what a
pool begins with; from then on Airflow's own value counts (`pool_slots.py`), until the file says something else.
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
# Mapped tasks that share a pool. One of few slots goes to five. A larger one goes to two a worker: a process makes some
# thousand calls a second, and more of them on one machine answer no faster, but take 150 MB and the CPU of their own
# each. At least five slots a task, so that little is lost where they do not come out even.
FEW_SLOTS, TASKS_OF_FEW, TASKS_A_WORKER, SLOTS_OF_MANY = 20, 5, 2, 5
# What Airflow runs of one run at once, unless it is told otherwise (`max_active_tasks_per_dag`).
MOST_TASKS = 16


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


def slots_per_task(slots: int, workers: int = 1, most_tasks: int = MOST_TASKS) -> int:
    """The slots of one mapped task, which has as many requests in flight, where `workers` are there to run them."""
    tasks = TASKS_OF_FEW if slots <= FEW_SLOTS else min(TASKS_A_WORKER * workers, slots // SLOTS_OF_MANY)
    return max(1, slots // min(tasks, most_tasks))

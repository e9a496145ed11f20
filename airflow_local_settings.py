"""Airflow's local settings, which it looks for on its path: how many slots of a pool a task takes.

Airflow reads them in the processes that have the repository on `PYTHONPATH`: the scheduler, the API server, its command
line. A task needs none of it.
"""

from include.orchestration.pool_slots import task_instance_mutation_hook

__all__ = ["task_instance_mutation_hook"]

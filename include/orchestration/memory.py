"""How much memory a task may take: one that asks for more fails with a sentence, before the kernel has to choose."""

import os
import re
import resource
from collections.abc import Mapping

from include.common.errors import ConfigError

VARIABLE = "HEADRACE_TASK_MEMORY"
UNITS = {"k": 1024, "m": 1024**2, "g": 1024**3}


def task_memory(environment: Mapping[str, str] = os.environ) -> int | None:
    """Bytes, as docker writes them (`512m`, `1.5g`); None where no limit is set. `ConfigError` for anything else."""
    text = environment.get(VARIABLE, "").strip().lower()
    if not text:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kmg])b?", text)
    if not found or not (size := int(float(found[1]) * UNITS[found[2]])):
        raise ConfigError(f"{VARIABLE} is `{text}`; allowed is a size such as 512m or 1.5g")
    return size


def limit_memory() -> None:
    """Hold this process to `HEADRACE_TASK_MEMORY`: past it Python raises `MemoryError`.

    What counts is private memory that can be written to (RLIMIT_DATA, on Linux since 4.7): not code, not mapped files.
    """
    if size := task_memory():
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (size if hard == resource.RLIM_INFINITY else min(size, hard), hard))


def too_much() -> str:
    """The sentence for a task that met a `MemoryError`."""
    limit = os.environ.get(VARIABLE, "").strip()
    return f"the task needs more memory than its limit of {limit} ({VARIABLE})" if limit else "the memory is used up"

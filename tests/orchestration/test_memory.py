"""The memory limit of a task."""

import os
import subprocess
import sys

import pytest

from include.common.errors import ConfigError
from include.orchestration.memory import task_memory
from include.orchestration.paths import PROJECT

TAKE = """
from include.orchestration.memory import limit_memory, too_much
limit_memory()
try:
    print(len(bytearray(400 * 1024 * 1024)))
except MemoryError:
    print(too_much())
"""


@pytest.mark.parametrize(
    ("text", "size"), [("512m", 512 * 1024**2), ("1.5g", 1536 * 1024**2), ("2GB", 2 * 1024**3), ("", None), (" ", None)]
)
def test_a_size_is_read_as_docker_reads_it(text, size):
    assert task_memory({"HEADRACE_TASK_MEMORY": text}) == size


@pytest.mark.parametrize("text", ["much", "512", "-1g", "0m", "1t"])
def test_anything_else_is_refused(text):
    with pytest.raises(ConfigError, match=f"HEADRACE_TASK_MEMORY is `{text}`; allowed is a size such as 512m"):
        task_memory({"HEADRACE_TASK_MEMORY": text})


@pytest.mark.parametrize(
    ("limit", "printed"),
    [
        ("", str(400 * 1024 * 1024)),
        ("2g", str(400 * 1024 * 1024)),
        ("300m", "the task needs more memory than its limit of 300m (HEADRACE_TASK_MEMORY)"),
    ],
)
def test_a_process_past_its_limit_gets_an_error_that_python_can_handle(limit, printed):
    ended = subprocess.run(
        [sys.executable, "-c", TAKE],
        env={**os.environ, "PYTHONPATH": str(PROJECT), "HEADRACE_TASK_MEMORY": limit},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.strip() == printed

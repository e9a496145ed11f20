"""Pools: one file says how many requests may be in flight, and everything follows from it."""

import json

import pytest

from include.common.errors import ConfigError
from include.orchestration import pools
from include.orchestration.paths import PROJECT


@pytest.fixture
def pools_file(monkeypatch, tmp_path):
    def write(content):
        path = tmp_path / "pools.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        monkeypatch.setenv("HEADRACE_POOLS", str(path))
        pools.slots.cache_clear()

    yield write
    pools.slots.cache_clear()


def test_the_pools_that_people_attach_to(monkeypatch):
    monkeypatch.delenv("HEADRACE_POOLS", raising=False)
    assert (pools.slots("csv_api"), pools.slots("symbol_api")) == (5, 1)


@pytest.mark.parametrize(
    ("slots", "workers", "per_task", "tasks"),
    [
        (1, 1, 1, 1),
        (5, 1, 1, 5),
        (7, 1, 1, 7),
        (20, 1, 4, 5),
        (20, 9, 4, 5),
        (21, 1, 10, 2),
        (50, 1, 25, 2),
        (100, 1, 50, 2),
        (60, 3, 10, 6),
        (21, 9, 5, 4),
        (1000, 9, 62, 16),
    ],
)
def test_tasks_and_requests_fill_the_pool_and_the_workers(slots, workers, per_task, tasks):
    assert pools.slots_per_task(slots, workers) == per_task
    assert slots // per_task == tasks


@pytest.mark.parametrize(("slots", "per_task"), [(5, 2), (100, 50), (3, 1)])
def test_no_more_tasks_than_airflow_runs_of_one_run(slots, per_task):
    assert pools.slots_per_task(slots, workers=3, most_tasks=2) == per_task


@pytest.mark.parametrize("slots", [0, -1, "5", None, True, 2.5])
def test_slots_that_are_no_whole_number_from_1_are_an_error(pools_file, slots):
    pools_file({"p": {"slots": slots}})
    with pytest.raises(ConfigError, match=r"slots of the pool `p` is .*allowed is a whole number from 1"):
        pools.slots("p")


def test_an_unknown_pool_is_an_error_that_names_the_known_ones(pools_file):
    pools_file({"a": {"slots": 1}, "b": {"slots": 1}})
    with pytest.raises(ConfigError, match="pool is `c`; allowed is one of a, b"):
        pools.slots("c")


def test_a_file_that_is_no_json_is_an_error(pools_file):
    pools_file("{")
    with pytest.raises(ConfigError, match="is not JSON"):
        pools.slots("p")


def test_an_empty_headrace_pools_means_the_file_of_the_project():
    assert pools.pools_file({"HEADRACE_POOLS": " "}) == pools.pools_file({}) == PROJECT / "include/pools.json"


def test_a_relative_headrace_pools_stands_below_the_project():
    assert pools.pools_file({"HEADRACE_POOLS": "deploy/pools.json"}) == PROJECT / "deploy/pools.json"


def test_a_file_that_does_not_exist_is_an_error_that_names_the_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("HEADRACE_POOLS", str(tmp_path / "none.json"))
    pools.slots.cache_clear()
    with pytest.raises(ConfigError, match=r"none\.json` \(HEADRACE_POOLS\) cannot be read: No such file"):
        pools.slots("p")


@pytest.mark.parametrize("content", ["[]", '{"csv_api": 5}'])
def test_a_file_that_holds_no_pools_is_an_error(pools_file, content):
    pools_file(content)
    with pytest.raises(ConfigError, match="must hold an object of pools"):
        pools.slots("csv_api")

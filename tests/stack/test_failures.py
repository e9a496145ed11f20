"""Each part of the stack dies in the middle of a run, and the run loses nothing."""

import time

import pytest

from tests.stack.conftest import wait_until
from tests.stack.runs import assert_nothing_lost, docker, follow, start, wait_for_calls, write_csv

# Tasks that call at a time, a request in flight each: what dies with all of them is called again.
IN_FLIGHT = 5


def callers(stack, run_id, dag_id="csv_processing"):
    """The hosts of the tasks that call the API now: names of worker containers."""
    tasks = stack.tasks(dag_id, run_id)
    return [task["hostname"] for task in tasks if (task["task_id"], task["state"]) == ("call_api", "running")]


def test_a_worker_that_is_killed_costs_no_row(stack):
    stack.scale(3)
    stack.demo.behave(latency=0.05)
    run_id = start(stack, 2000, "killed")
    wait_for_calls(stack, 300)
    victim = wait_until(lambda: callers(stack, run_id), "a task that calls")[0]
    try:
        docker("kill", victim)
        assert_nothing_lost(stack, run_id, 2000, "killed", repeated=IN_FLIGHT)
        moved = [task for task in stack.tasks("csv_processing", run_id) if task["try_number"] > 1]
        assert moved
        assert all(task["hostname"] != victim for task in moved)
    finally:
        stack.scale(3)


# Seconds without Redis or Postgres: more than TASK_HEARTBEAT_TIMEOUT is here.
AWAY = 35


def first_tries(stack, run_id):
    """Whether nothing of a run was charged with a try."""
    return {task["try_number"] for task in stack.tasks("csv_processing", run_id)} == {1}


@pytest.mark.parametrize(("leave", "come_back"), [("pause", "unpause"), ("stop", "start")])
def test_a_broker_and_a_database_that_are_away_use_up_no_try(stack, leave, come_back, tmp_path):
    """In the middle of the calls, and once more between two tasks, whose message cannot be sent then.

    `make trigger WAIT=1` follows the run to its end.
    """
    stack.scale(1)
    stack.demo.behave(latency=0.3)
    name = f"without-{leave}"
    follower = follow(stack, write_csv(tmp_path / f"{name}.csv", 60), OUTPUT=f"{name}.json")
    for calls in (20, 60):
        wait_for_calls(stack, calls)
        stack.compose(leave, "redis", "postgres")
        time.sleep(AWAY)
        stack.compose(come_back, "postgres", "redis")
    told = follower.communicate(timeout=300)[0].decode()
    assert follower.returncode == 0, told
    assert told.count("the run goes on; waiting up to 7 min") == told.count("answered again after ") >= 1, told
    run_id = told.split(maxsplit=2)[1]
    assert_nothing_lost(stack, run_id, 60, name, repeated=0)
    assert first_tries(stack, run_id)
    stack.compose("up", "--detach", "--wait", "--no-recreate")


def test_parts_of_airflow_that_die_in_the_middle_of_a_run_and_come_back_cost_no_row(stack):
    stack.demo.behave(latency=0.05)
    run_id = start(stack, 800, "parts")
    wait_for_calls(stack, 100)
    parts = ("scheduler", "api-server", "dag-processor", "redis", "postgres")
    stack.compose("kill", *parts)
    stack.compose("start", *parts)
    assert_nothing_lost(stack, run_id, 800, "parts", repeated=0)
    assert first_tries(stack, run_id)
    stack.compose("up", "--detach", "--wait", "--no-recreate")


def test_a_worker_that_is_cut_off_has_stopped_calling_before_another_one_begins(stack):
    """It reaches the API and the application database, and neither Redis nor the api-server, and calls on in vain."""
    stack.scale(2)
    stack.demo.behave(latency=0.2)
    run_id = start(stack, 1500, "cut-off")
    wait_for_calls(stack, 100)
    victim = wait_until(lambda: callers(stack, run_id), "a task that calls")[0]
    network = f"{stack.environment['COMPOSE_PROJECT_NAME']}_default"
    docker("network", "disconnect", network, victim)
    try:
        assert_nothing_lost(stack, run_id, 1500, "cut-off", repeated=0)
        moved = [task for task in stack.tasks("csv_processing", run_id) if task["try_number"] > 1]
        assert moved
        assert all(task["hostname"] != victim for task in moved)
        assert stack.demo.stats(keys=0)["peak"] <= IN_FLIGHT
    finally:
        docker("network", "connect", network, victim)
        health = ("inspect", "--format", "{{.State.Health.Status}}", victim)
        wait_until(lambda: docker(*health) == "healthy", "a worker that is connected again")
        stack.compose("up", "--detach", "--wait", "--no-recreate", "worker")


def test_a_worker_that_is_stopped_lets_its_tasks_finish_their_calls_and_no_try_is_used_up(stack):
    stack.scale(1)
    stack.demo.behave(latency=0.5)
    run_id = start(stack, 60, "stopped")
    wait_for_calls(stack, 10)
    stack.compose("stop", "worker")
    try:
        stopped = stack.demo.stats(keys=0)
        assert (stopped["in_flight"], stopped["calls"] < 60) == (0, True)
    finally:
        stack.compose("start", "worker")
    assert_nothing_lost(stack, run_id, 60, "stopped", repeated=0)
    assert first_tries(stack, run_id)


def test_a_worker_takes_as_many_tasks_as_before_after_redis_was_away(stack):
    stack.scale(1)
    stack.compose("kill", "redis")
    stack.compose("start", "redis")
    stack.demo.behave(latency=0.1)
    assert_nothing_lost(stack, start(stack, 200, "again"), 200, "again", repeated=0)
    assert stack.demo.stats(keys=0)["peak"] == 2


def test_queued_tasks_outlive_a_redis_that_dies(stack):
    stack.demo.behave()
    stack.compose("stop", "worker")
    try:
        runs = [("memory", stack.api().trigger("memory", {})) for _ in range(4)]
        runs.append(("csv_processing", start(stack, 3, "queued")))
        queued = ("redis-cli", "llen", "default")
        wait_until(lambda: stack.exec("redis", *queued).strip() == "5", "five messages in the queue")
        stack.compose("kill", "redis")
        stack.compose("start", "redis")
        wait_until(lambda: stack.exec("redis", *queued).strip() == "5", "the queue as it was")
    finally:
        stack.compose("start", "worker")
    assert [stack.wait_for_end(*run) for run in runs] == ["success"] * 5


def test_a_task_past_its_memory_limit_fails_with_a_sentence_and_its_worker_lives(stack):
    workers = stack.containers("worker")
    run_id = stack.api().trigger("memory", {"megabytes": 1500})
    assert stack.wait_for_end("memory", run_id) == "failed"
    (task,) = stack.tasks("memory", run_id)
    log = stack.log("memory", run_id, "take", task["try_number"])
    assert "the task needs more memory than its limit of 1g (HEADRACE_TASK_MEMORY)" in log
    assert_alive(stack, workers)


def test_a_task_that_the_kernel_kills_for_its_memory_is_named_so_and_its_worker_lives(stack):
    """Several tasks within their own limits may be too many for the container's."""
    workers = stack.containers("worker")
    docker("update", "--memory", "700m", "--memory-swap", "700m", *workers)
    try:
        run_id = stack.api().trigger("memory", {"megabytes": 900})
        assert stack.wait_for_end("memory", run_id) == "failed"
        assert "out of memory" in stack.log("memory", run_id, "take").lower()
        assert_alive(stack, workers)
    finally:
        docker("update", "--memory", "2g", "--memory-swap", "4g", *workers)


def assert_alive(stack, workers):
    """The same containers run, none was started again, and they work."""
    assert stack.containers("worker") == workers
    assert docker("inspect", "--format", "{{.RestartCount}} {{.State.Running}}", *workers).splitlines() == [
        "0 true" for _ in workers
    ]
    assert stack.wait_for_end("memory", stack.api().trigger("memory", {})) == "success"

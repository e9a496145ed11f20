"""What becomes of a message of the queue that its worker does not acknowledge in time: the visibility timeout."""

import pytest

from tests.stack.conftest import wait_until
from tests.stack.runs import assert_nothing_lost, docker, start

# Stops the processes that begin with tasks; Celery's own process goes on taking messages for them. Under the first
# process of the container is the one that tells the tasks of the worker's stop.
STOP_POOL = "import psutil; [child.suspend() for child in psutil.Process(1).children()[0].children()[0].children()]"


@pytest.fixture
def impatient(stack):
    """Two workers with a visibility timeout of 20 s; afterwards one as before."""

    def have(workers, **variables):
        command = ("up", "--detach", "--wait", "--no-deps", "--scale", f"worker={workers}", "worker")
        stack.compose(*command, **variables)

    have(2, VISIBILITY_TIMEOUT="20")
    yield lambda workers: have(workers, VISIBILITY_TIMEOUT="20")
    have(1)


def test_a_task_that_outlasts_the_visibility_timeout_runs_once(stack, impatient):
    stack.demo.behave()
    # So slow a limit makes few tasks of the run, and leaves processes free to begin with it a second time.
    run_id = start(stack, 9, "outlasting", dag_id="probe", rate_limit="10/minute")
    assert_nothing_lost(stack, run_id, 9, "outlasting", repeated=0, dag_id="probe")
    assert {task["try_number"] for task in stack.tasks("probe", run_id)} == {1}
    assert "ignoring redelivered message" in stack.compose("logs", "--no-color", "worker")


def test_a_message_whose_worker_died_before_it_began_goes_to_another(stack, impatient):
    impatient(1)
    (worker,) = stack.containers("worker")
    stack.exec("worker", "python", "-c", STOP_POOL)
    run_id = stack.api().trigger("memory", {})
    wait_until(lambda: stack.exec("redis", "redis-cli", "hlen", "unacked").strip() != "0", "the message is taken")
    assert [task["state"] for task in stack.tasks("memory", run_id)] == ["queued"]
    docker("kill", worker)
    impatient(2)
    assert stack.wait_for_end("memory", run_id) == "success"
    (task,) = stack.tasks("memory", run_id)
    assert (task["try_number"], task["state"]) == (1, "success")

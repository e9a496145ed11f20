"""The health checks see a service whose process is there and does no work."""

import pytest

from tests.stack.conftest import run, wait_until

WITH_JOBS = ("scheduler", "dag-processor", "triggerer")


def checked(stack, service):
    """The health check's own words."""
    check = f"cd /opt/headrace && python -m include.launch.stack.health {service}"
    return run(
        ["deploy/stack.sh", "compose", "exec", "-T", service, "sh", "-c", check], **stack.environment
    ).output.strip()


def signal(stack, service, name):
    """Send a signal to every process of a service but the container's first."""
    stack.exec(service, "sh", "-c", f"kill -{name} -1")


@pytest.fixture
def frozen(stack):
    services = (*WITH_JOBS, "worker")
    assert [checked(stack, service) for service in services] == ["healthy"] * 4
    for service in services:
        signal(stack, service, "STOP")
    yield services
    for service in services:
        signal(stack, service, "CONT")


def test_a_process_that_is_there_and_does_nothing_is_not_healthy(stack, frozen):
    assert checked(stack, "worker").endswith("did not answer within 5 s")
    for service in WITH_JOBS:
        wait_until(
            lambda service=service: "gave its last sign of life" in checked(stack, service), f"{service} is missed"
        )


def test_after_that_they_are_healthy_again(stack):
    for service in (*WITH_JOBS, "worker"):
        wait_until(lambda service=service: checked(stack, service) == "healthy", f"{service} is healthy")
    stack.compose("up", "--detach", "--wait", "--no-recreate")  # as the engine sees it: it waits for healthy ones

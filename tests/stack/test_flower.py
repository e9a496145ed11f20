"""Flower, of the profile of that name: the workers, for who has the password."""

import httpx
import pytest

from include.launch.embedded.processes import free_port


@pytest.fixture(scope="module")
def flower(stack):
    """Its address."""
    port = free_port()
    profile = ("--profile", "flower")
    try:
        stack.compose(*profile, "up", "--detach", "--wait", "--no-deps", "flower", FLOWER_PORT=str(port))
        yield f"http://127.0.0.1:{port}"
    finally:
        stack.compose(*profile, "rm", "--stop", "--force", "flower")


@pytest.mark.parametrize("path", ["/", "/workers", "/api/workers", "/api/tasks"])
@pytest.mark.parametrize("login", [None, ("admin", "admin"), ("admin", "")])
def test_nobody_sees_anything_without_the_password(flower, path, login):
    assert httpx.get(flower + path, auth=login, trust_env=False).status_code == 401


def test_it_shows_every_worker(stack, flower):
    login = ("admin", stack.secret("ADMIN_PASSWORD"))
    found = (
        httpx.get(f"{flower}/api/workers?refresh=1", auth=login, trust_env=False, timeout=60).raise_for_status().json()
    )
    assert sorted(found) == sorted(f"celery@{container[:12]}" for container in stack.containers("worker"))
    assert all(worker["active_queues"][0]["name"] == "default" for worker in found.values())

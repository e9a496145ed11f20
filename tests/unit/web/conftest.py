"""An application of the pages with users that a header names, mounted as Airflow mounts it."""

import pytest
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from include.web.guard import Access

ADMIN, VIEWER, STRANGER = ({"authorization": f"Bearer {user}"} for user in ("admin", "viewer", "stranger"))
# What a browser sends with a form of the page itself.
OWN_FORM = {"cookie": "user=admin", "sec-fetch-site": "same-origin", "hx-request": "true"}


async def user_of(request):
    token = request.headers.get("authorization", "").removeprefix("Bearer ") or request.cookies.get("user")
    if not token:
        raise HTTPException(401, "Not authenticated")
    return token


ACCESS = Access(user_of, lambda user: user in ("admin", "viewer"), lambda user: user == "admin")


@pytest.fixture
def access():
    return ACCESS


@pytest.fixture
def served():
    """Serves applications at their prefixes, below a prefix of Airflow's own if there is one."""

    def serve(prefix="", **apps):
        airflow = FastAPI(root_path=prefix)
        for path, app in reversed(apps.items()):
            airflow.mount(f"/headrace{'' if path == 'overview' else '/' + path}", app)
        return TestClient(airflow, base_url=f"http://testserver{prefix}", raise_server_exceptions=False)

    return serve

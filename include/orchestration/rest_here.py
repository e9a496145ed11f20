"""Airflow's REST API in its own process: what a page does, it does as the user who asked, by the public API."""

from typing import Any

import httpx
from starlette.exceptions import HTTPException
from starlette.requests import Request

from include.common.errors import BadInputError, TransientError

# What says who asks; by the referer, Airflow tells runs that were started in a browser.
CARRIED = ("authorization", "cookie", "referer")


async def ask(request: Request, method: str, path: str, body: Any = None) -> Any:
    """The value of an answer to `path` below /api/v2.

    Raises `BadInputError` where Airflow refuses the values or knows no such thing, `TransientError` where it fails, an
    `HTTPException` where the user may not.
    """
    from airflow.api_fastapi.main import app  # the one that this process serves

    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    headers = {name: request.headers[name] for name in CARRIED if name in request.headers}
    async with httpx.AsyncClient(transport=transport, base_url="http://airflow") as client:
        response = await client.request(method, f"/api/v2{path}", json=body, headers=headers)
    if response.is_server_error:
        raise TransientError(f"Airflow could not do that just now ({response.status_code}); try again")
    if response.status_code in (401, 403):
        raise HTTPException(response.status_code, f"Airflow refused that: {_detail(response)}")
    if response.is_error:
        raise BadInputError(f"Airflow refused that: {_detail(response)}")
    return response.json() if response.content else None


def _detail(response: httpx.Response) -> str:
    try:
        found = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return f"{response.status_code}"
    if isinstance(found, str):
        return found.partition("\n\n")[0]  # what follows is the whole schema of a value
    return "; ".join(str(one.get("msg", one)) for one in found)

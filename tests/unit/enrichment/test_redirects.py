"""Redirects against rate and budget: the real client and caller beside a server that counts its requests."""

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from include.common.http.endpoint import Endpoint
from include.enrichment.chunk import ChunkCalls, Try
from include.enrichment.client import Client
from include.enrichment.models import Request, RowStatus
from include.enrichment.results import settle
from tests.unit.enrichment.test_chunk import Budget, NoLimit

ROWS = 50


class CountingPace(NoLimit):
    """No limit, but it counts the starts that it gave."""

    started = 0

    async def start(self):
        self.started += 1


@pytest.fixture
async def server():
    """One that answers only behind the slash that a path ends with; `server.requests` counts what came."""

    async def handle(request: web.BaseRequest) -> web.Response:
        server.requests += 1
        if request.path.endswith("/"):
            return web.json_response({"path": request.path})
        return web.Response(status=301, headers={"Location": f"{request.path}/"})

    server = RawTestServer(handle)
    server.requests = 0
    await server.start_server()
    yield server
    await server.close()


async def run(planning, server, in_flight=5, **parts):
    """One try of a chunk of `ROWS` rows; the pace that it kept to."""
    planning.plan("id\n" + "".join(f"{n}\n" for n in range(ROWS)), tasks=1, pipeline={"single_rows": 0}, max_calls=40)
    plan, pace = planning.folder.read_plan(), CountingPace()
    calls = ChunkCalls(planning.folder, plan, plan.chunks[0], Try(1, 3), pace, in_flight, **parts)
    async with Client(Request("csv_api"), Endpoint(str(server.make_url("/")), "test"), key="id") as client:
        await calls.run(client)
    return pace


async def test_each_request_is_a_start_under_the_limit(planning, server):
    pace = await run(planning, server)
    assert pace.started == server.requests == 2 * ROWS
    assert {row.status for row in planning.settled()} == {RowStatus.OK}


async def test_each_request_counts_in_the_budget_and_a_row_cut_short_is_skipped(planning, server):
    await run(planning, server, in_flight=3, allowance=Budget(40))
    assert server.requests == 40
    ended = [(row.status, row.error) for row in settle(planning.folder, planning.made)]
    answered = ended.count((RowStatus.OK, None))
    assert 40 / 2 - 3 <= answered <= 40 / 2
    assert ended.count((RowStatus.SKIPPED, "skipped: budget, max_calls = 40 calls were made")) == ROWS - answered

"""All kinds of trouble at once: the real client, ledger and caller against the demo API on loopback."""

import csv
import json

import pytest
from aiohttp.test_utils import TestServer

from include.common.errors import TransientError
from include.common.http.endpoint import Endpoint
from include.demo_api.faults import Fault
from include.demo_api.server import DemoApi
from include.enrichment.chunk import ChunkCalls, Try
from include.enrichment.client import Client
from include.enrichment.models import Request
from include.enrichment.records import publish, write_records
from include.enrichment.results import frames, settle, tally
from include.enrichment.transforms import flatten
from tests.unit.enrichment.test_chunk import NoLimit

ROWS = 2000
TRIES = 4
REQUEST = Request(connection="csv_api", path="/echo/{id}", timeout=3.0)


def keys(every, start):
    """One row in `every`, from `start` on: no two kinds of fault hit the same."""
    return [str(number) for number in range(start, ROWS, every)]


@pytest.fixture
async def server():
    api = DemoApi()
    async with TestServer(api.app()) as running:
        yield api, str(running.make_url("/")).rstrip("/")


async def run_to_the_end(planning, chunks, url):
    """As Airflow does: each chunk once, and again as long as it asks for it."""
    plan = planning.folder.read_plan()
    for chunk in chunks:
        for number in range(1, TRIES + 1):
            async with Client(REQUEST, Endpoint(url, "test")) as client:
                attempt = Try(number, TRIES - 1)
                try:
                    await ChunkCalls(planning.folder, plan, chunk, attempt, NoLimit(), in_flight=25).run(client)
                    break
                except TransientError:
                    assert number < TRIES


async def test_the_ledger_counts_as_the_server_does_and_only_what_is_not_found_fails(planning, server):
    api, url = server
    missing = keys(100, 9)
    api.faults = [
        Fault("status", keys=keys(20, 0), times=1, status=500),
        Fault("slow", keys=keys(50, 1)[:10], times=1, seconds=30),  # all in one chunk: the timeout is waited for once
        Fault("status", keys=keys(100, 2), times=2, status=429, retry_after=0),
        Fault("garbage", keys=keys(100, 3), times=3),
        Fault("drop", keys=keys(100, 4), times=1),
        Fault("status", keys=missing, status=404),
    ]
    source = "id\n" + "".join(f"{number}\n" for number in range(ROWS))
    chunks = planning.plan(source, tasks=4)
    await run_to_the_end(planning, chunks, url)
    plan = planning.folder.read_plan()
    attempts = {row.values[0]: row.attempts for row in settle(planning.folder, plan)}
    assert attempts == dict(api.stats.by_key)
    assert sum(attempts.values()) == api.stats.calls == ROWS + 100 + 10 + 2 * 20 + 3 * 20 + 20
    found = tally(planning.folder, plan)
    assert (found.counts.ok, found.counts.failed) == (ROWS - 20, 20)
    errors = list(csv.DictReader(planning.folder.errors.read_text("utf-8-sig").splitlines()))
    assert [row["id"] for row in errors] == missing
    assert {row["error"][:3] for row in errors} == {"404"}
    write_records((flatten(frame) for frame in frames(planning.folder, plan)), planning.folder.records)
    list(publish(planning.folder.records, plan.output, "id", lambda text: planning.output))
    published = [record["id"] for record in json.loads(planning.output.read_text())]
    assert published == [str(number) for number in range(ROWS) if str(number) not in missing]

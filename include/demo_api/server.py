"""The demo API's routes.

`GET /countries/{code}` and `GET /query?function=TIME_SERIES_DAILY&symbol=…` (as Alpha Vantage answers) serve
`data/demo/`; `GET /echo/{key}` answers for any key. `GET /_demo` shows what was counted, with `?keys=0` less the count
of each key, which for a million keys is 15 MB, and with `?starts=1` when each call came in. `PUT /_demo` sets
`{"latency": seconds, "faults": […], "quota": {"calls": 5, "seconds": 1}}` and starts counting anew.

It is one half of every measurement, so a call costs it little: answers are ready as bytes before the first call.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from include.demo_api.faults import Fault, Quota, Stats

DATA = Path(__file__).resolve().parent.parent.parent / "data" / "demo"
JSON = {"Content-Type": "application/json; charset=utf-8"}
WRONG_QUERY = orjson.dumps({"Error Message": "Invalid API call."})


class DemoApi:
    """The API's state: its data, what it counted, how it misbehaves. `latency` is in seconds."""

    def __init__(self, data: Path = DATA, latency: float = 0.0) -> None:
        countries = orjson.loads((data / "countries.json").read_bytes())
        prices = orjson.loads((data / "prices.json").read_bytes())
        self.countries: dict[str, bytes] = {code: orjson.dumps(country) for code, country in countries.items()}
        self.prices: dict[str, bytes] = {symbol: _daily(symbol, series) for symbol, series in prices.items()}
        self.latency = latency
        self.faults: list[Fault] = []
        self.quota: Quota | None = None
        self.stats = Stats()

    def app(self) -> web.Application:
        """The web application."""
        app = web.Application()
        app.router.add_get("/countries/{key}", self.country)
        app.router.add_get("/echo/{key}", self.echo)
        app.router.add_get("/query", self.query)
        app.router.add_get("/_demo", self.show)
        app.router.add_put("/_demo", self.set)
        return app

    async def country(self, request: web.Request) -> web.StreamResponse:
        """The figures of one country, by its ISO 3166-1 numeric code."""
        key = request.match_info["key"]
        found = self.countries.get(key)
        if found is None:
            return await self._answer(request, key, orjson.dumps({"error": f"no country `{key}`"}), 404)
        return await self._answer(request, key, found)

    async def echo(self, request: web.Request) -> web.StreamResponse:
        """An answer for any key."""
        key = request.match_info["key"]
        return await self._answer(request, key, orjson.dumps({"key": key, "length": len(key)}))

    async def query(self, request: web.Request) -> web.StreamResponse:
        """The daily prices of a symbol, in Alpha Vantage's shape, its errors with status 200 included."""
        symbol = request.query.get("symbol", "")
        known = self.prices.get(symbol) if request.query.get("function") == "TIME_SERIES_DAILY" else None
        return await self._answer(request, symbol, known or WRONG_QUERY)

    async def show(self, request: web.Request) -> web.Response:
        """The counts."""
        wanted = request.query
        return web.json_response(self.stats.as_dict(wanted.get("keys") != "0", wanted.get("starts") == "1"))

    async def set(self, request: web.Request) -> web.Response:
        """Set latency and faults, start counting anew."""
        try:
            wanted = await request.json()
            faults = [Fault(**fault) for fault in wanted.get("faults", [])]
            quota = Quota(**wanted["quota"]) if wanted.get("quota") else None
            latency = float(wanted.get("latency", 0))
        except (TypeError, ValueError, AttributeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        self.faults, self.quota, self.latency = faults, quota, latency
        self.stats = Stats(in_flight=self.stats.in_flight)
        return web.json_response({})

    async def _answer(self, request: web.Request, key: str, body: bytes, status: int = 200) -> web.StreamResponse:
        stats = self.stats
        stats.calls += 1
        stats.by_key[key] += 1
        stats.starts.append(time.monotonic())
        stats.in_flight += 1
        if stats.in_flight > stats.peak:
            stats.peak = stats.in_flight
        try:
            if self.quota and (wait := self.quota.wait(time.monotonic())):
                too_many = Fault("status", status=429, retry_after=math.ceil(wait))
                return await self._misbehave(request, too_many, body)
            if self.latency:
                await asyncio.sleep(self.latency)
            for fault in self.faults:
                if fault.applies(key):
                    return await self._misbehave(request, fault, body)
            self.stats.answered += status == 200
            self.stats.statuses[status] += 1
            return web.Response(body=body, status=status, headers=JSON)
        finally:
            stats.in_flight -= 1
            if stats is not self.stats:  # the counts were reset meanwhile
                self.stats.in_flight -= 1

    async def _misbehave(self, request: web.Request, fault: Fault, body: bytes) -> web.StreamResponse:
        statuses = {"status": fault.status, "redirect": 302, "drop": 0}
        self.stats.statuses[statuses.get(fault.fault, 200)] += 1
        if fault.fault == "status":
            headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
            return web.json_response({"error": "as told"}, status=fault.status, headers=headers)
        if fault.fault == "soft":
            return web.json_response({"Information": "Our standard limit is 25 calls a day."})
        if fault.fault == "garbage":
            return web.Response(body=b"<html>\xff not JSON", content_type="application/json")
        if fault.fault == "redirect":
            return web.Response(status=302, headers={"Location": fault.location})
        if fault.fault == "drop":
            if request.transport:
                request.transport.abort()
            return web.Response()
        return await self._stream(request, self._parts(fault, body))

    async def _parts(self, fault: Fault, body: bytes) -> AsyncIterator[bytes]:
        if fault.fault == "huge":
            for _ in range(fault.megabytes):
                yield b" " * 1024 * 1024
        else:
            for index in range(len(body)):
                yield body[index : index + 1]
                await asyncio.sleep(fault.seconds / len(body))

    async def _stream(self, request: web.Request, parts: AsyncIterator[bytes]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):  # the client had enough
            async for part in parts:
                await response.write(part)
        return response


def _daily(symbol: str, series: dict[str, Any]) -> bytes:
    meta = {"2. Symbol": symbol, "3. Last Refreshed": max(series)}
    return orjson.dumps({"Meta Data": meta, "Time Series (Daily)": series})

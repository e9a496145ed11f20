"""What the environment says about reaching an API, and that it is looked up once a session."""

import base64

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer
from yarl import URL

from include.common.http import proxy
from include.common.http.endpoint import Endpoint
from include.enrichment import client as client_module
from include.enrichment.client import Client
from include.enrichment.models import Request


async def freely() -> None:
    """A permit that is always given."""


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch, tmp_path):
    for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "netrc").touch()


@pytest.fixture
async def server():
    """A server, and a proxy as well; `server.requests` are what came."""

    async def handle(request: web.BaseRequest) -> web.Response:
        server.requests.append(request)
        return web.json_response({"by": "server"})

    server = RawTestServer(handle)
    server.requests = []
    await server.start_server()
    yield server
    await server.close()


async def call(url: str, **endpoint) -> object:
    async with Client(Request("csv_api", "/{id}"), Endpoint(url, "API_URL", **endpoint)) as client:
        return await client.call({"id": "7"}, freely)


@pytest.mark.parametrize(
    ("variables", "url", "proxied"),
    [
        ({}, "http://api.example", False),
        ({"http_proxy": "http://p:3128"}, "http://api.example", True),
        ({"https_proxy": "http://p:3128"}, "https://api.example", True),
        ({"https_proxy": "http://p:3128"}, "http://api.example", True),  # a redirect may lead from http to https
        ({"http_proxy": "http://p:3128"}, "https://api.example", False),
        ({"http_proxy": "http://p:3128", "no_proxy": "other,.example"}, "http://api.example", False),
        ({"http_proxy": "http://p:3128", "no_proxy": "api.example:8080"}, "http://api.example", True),
    ],
)
def test_a_proxy_is_seen_as_the_environment_names_it(monkeypatch, variables, url, proxied):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert proxy.is_proxied(URL(url)) is proxied


async def test_a_call_goes_through_the_proxy_with_its_login(monkeypatch, server):
    monkeypatch.setenv("http_proxy", f"http://anna:pass@127.0.0.1:{server.port}")
    assert await call("http://api.example:81") == {"by": "server"}
    request = server.requests[0]
    assert (request.raw_path, request.headers["Host"]) == ("http://api.example:81/7", "api.example:81")
    assert request.headers["Proxy-Authorization"] == aiohttp.encode_basic_auth("anna", "pass")


async def test_the_login_of_netrc_goes_to_its_host(server, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login anna password s3cr3t\n")
    await call(str(server.make_url("/")))
    assert base64.b64decode(server.requests[0].headers["Authorization"].removeprefix("Basic ")) == b"anna:s3cr3t"


async def test_a_login_of_the_connection_wins_over_netrc(server, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login anna password s3cr3t\n")
    await call(str(server.make_url("/")), headers={"authorization": "Bearer abc"})
    await call(str(server.make_url("/")), login="otto", password="pass")
    sent = [request.headers.getall("Authorization") for request in server.requests]
    assert sent == [["Bearer abc"], [aiohttp.encode_basic_auth("otto", "pass")]]


def test_a_login_of_netrc_is_a_secret(tmp_path):
    (tmp_path / "netrc").write_text("machine h login anna password s3cr3t\n")
    found = proxy.with_netrc(Endpoint("http://h:81/api", "API_URL"))
    assert found.without_secrets("s3cr3t") == "***"
    assert proxy.with_netrc(Endpoint("http://other", "API_URL")) == Endpoint("http://other", "API_URL")


async def test_the_environment_is_looked_up_once_a_session(monkeypatch, server):
    looked = []
    for name in ("is_proxied", "with_netrc"):
        of = getattr(proxy, name)
        monkeypatch.setattr(client_module, name, lambda it, of=of, name=name: looked.append(name) or of(it))
    async with Client(Request("csv_api", "/{id}"), Endpoint(str(server.make_url("/")), "API_URL")) as client:
        for key in "abc":
            await client.call({"id": key}, freely)
    assert looked == ["is_proxied", "with_netrc"]

"""Tries every route of a web application: which of them answer, and to whom."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import httpx

CHANGING = ("POST", "PUT", "PATCH", "DELETE")
VALUES = {"integer": 1, "number": 1, "boolean": False, "null": None}
STRINGS = {"date-time": "2026-01-01T00:00:00Z", "date": "2026-01-01", "uuid": "00000000-0000-0000-0000-000000000000"}


@dataclass(frozen=True)
class Route:
    """A route, and a call of it; what the call names does not exist."""

    name: str
    method: str
    url: str
    query: Any = None
    body: Any = None


def example(schema: dict[str, Any], document: dict[str, Any]) -> Any:
    """A small value that a schema of an OpenAPI document takes."""
    if "$ref" in schema:
        return example(reduce(lambda found, part: found[part], schema["$ref"].split("/")[1:], document), document)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for either in ("anyOf", "oneOf", "allOf"):
        if either in schema:
            return example(schema[either][0], document)
    kind = schema.get("type")
    if kind == "object":
        return {name: example(schema["properties"][name], document) for name in schema.get("required", ())}
    if kind == "array":
        return [example(schema["items"], document)]
    return VALUES[kind] if kind in VALUES else STRINGS.get(schema.get("format", ""), "x")


def documented(
    document: dict[str, Any],
    prefix: str = "",
    known: Mapping[str, Any] | None = None,
    bodies: Mapping[str, Any] | None = None,
) -> Iterator[Route]:
    """The routes of an OpenAPI document, called validly: `known` path parameters and `bodies` are not made up."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            name = f"{method.upper()} {prefix}{path}"
            parameters = {
                place: {
                    one["name"]: example(one["schema"], document)
                    for one in operation.get("parameters", ())
                    if one["in"] == place and one.get("required")
                }
                for place in ("path", "query")
            }
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            yield Route(
                name,
                method.upper(),
                fill(prefix + path, {**parameters["path"], **(known or {})}),
                parameters["query"],
                (bodies or {}).get(name) or (example(content["schema"], document) if content else None),
            )


def fill(path: str, values: Mapping[str, Any]) -> str:
    """A path with its parameters filled in; `1` for those that have no value."""
    return re.sub(r"{(\w+)(:\w+)?}", lambda found: str(values.get(found[1], 1)), path)


def paths(app: Any, prefix: str = "") -> list[list[str]]:
    """Method and path of every route of an application: those that no schema shows, and those of mounts, too."""
    found = []
    for route in app.routes:
        if getattr(route, "routes", None):
            found += paths(route, prefix + route.path)
        else:  # a mount of files, or a websocket, has no methods
            found += [[method, prefix + route.path] for method in sorted(getattr(route, "methods", None) or ["GET"])]
    return found


def undocumented(found: Iterable[Iterable[str]]) -> Iterator[Route]:
    """The routes of `paths`; those that change something are called with an empty JSON object."""
    for method, path in found:
        yield Route(f"{method} {path}", method, fill(path, {}), body={} if method in CHANGING else None)


def is_refused(answer: httpx.Response) -> bool:
    """Whether the caller may not do that, or is sent to the login page."""
    return answer.status_code in (401, 403) or (answer.is_redirect and "/auth/login" in answer.headers["location"])


def answered(client: httpx.Client, routes: Iterable[Route], headers: dict[str, str] | None = None) -> dict[str, int]:
    """The status of each route that did not refuse."""
    found = {}
    for route in routes:
        answer = client.request(
            route.method, route.url, params=route.query, json=route.body, headers=headers, follow_redirects=False
        )
        if not is_refused(answer):
            found[route.name] = answer.status_code
    return found

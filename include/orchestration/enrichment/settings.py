"""What is set for the CSV pipelines: where an API is and how to get in, and how large an upload may be."""

import os
from collections.abc import Mapping

from include.common.errors import ConfigError
from include.common.http.endpoint import Endpoint
from include.common.readers import whole_number
from include.enrichment.models import Request
from include.orchestration.connections import find_connection, same_host, with_credentials

DEMO_VARIABLE = "HEADRACE_DEMO_API"
DEMO_ORIGIN = "the demo API"
RUN_ORIGIN = "the run's `api_url`"
UPLOAD_VARIABLE = "HEADRACE_UPLOAD_MB"
UPLOAD_MB = "1024"


def endpoint(request: Request, api_url: str | None = None) -> Endpoint:
    """Where `request` goes: the run's own `api_url`, its environment variable, its connection, or the demo API.

    A connection's credentials go to the connection's own host only; one without a host lends them to the
    environment's address. Raises `ConfigError` where no address is found.
    """
    found = find_connection(request.connection)
    variable = request.address_variable or ""
    from_environment = os.environ.get(variable, "").strip() if variable else ""
    if api_url:
        return with_credentials(api_url, RUN_ORIGIN, found if found and same_host(found.url, api_url) else None)
    if from_environment:
        lends = found and (not found.url or same_host(found.url, from_environment))
        return with_credentials(from_environment, variable, found if lends else None)
    if found and found.url:
        return found.endpoint()
    demo = os.environ.get(DEMO_VARIABLE, "").strip()
    if demo and request.demo_path is not None and not found:  # credentials alone are meant for another API
        return Endpoint(demo.rstrip("/") + request.demo_path, DEMO_ORIGIN)
    looked = f"the environment variable {variable} and " if variable else ""
    raise ConfigError(
        f"no address of the API: looked at {looked}the connection `{request.connection}` "
        f"(AIRFLOW_CONN_{request.connection.upper()} and the metadata database)" + ", which has no host" * bool(found)
    )


def most_upload_bytes(environment: Mapping[str, str] = os.environ) -> int:
    """What a file that is uploaded may have: `HEADRACE_UPLOAD_MB`; `ConfigError` where that is no number."""
    return whole_number(UPLOAD_VARIABLE, environment.get(UPLOAD_VARIABLE, "").strip() or UPLOAD_MB) * 1024 * 1024


def is_demo(found: Endpoint) -> bool:
    """Whether calls go to the demo API of this project, which needs no rate limit."""
    return found.origin == DEMO_ORIGIN

"""Pages and fragments from templates, and errors as the caller can take them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi.exceptions import RequestValidationError
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from include.common.durations import say_duration
from include.common.errors import BadInputError, ConflictError, HeadraceError, NotFoundError
from include.common.text import shown

# Where Airflow mounts the pages, and where in our own folder they are.
ROOT = "/headrace"
FOLDER = Path(__file__).parent
# What is set wrong or refused for good takes the operator: until then there is no service, which is no failure of it.
STATUSES = ((NotFoundError, 404), (BadInputError, 422), (ConflictError, 409), (HeadraceError, 503))
NOT_FOUND = "There is nothing at this address."
FAILED = "Headrace could not do that, for a reason it did not expect. The api-server's log has it."


@dataclass(frozen=True)
class Tab:
    """An application in the pages' frame: its title, and its path below `ROOT` ("" for the overview, else `/name`)."""

    title: str
    path: str


class Pages:
    """What an application of the pages shows. `tab` is its own, `tabs` are all; `templates` are its own, if any."""

    def __init__(self, tab: Tab, tabs: tuple[Tab, ...], templates: Path | None = None) -> None:
        self.tab, self.tabs = tab, tabs
        folders = [path for path in (templates, FOLDER / "templates") if path]
        self._templates = Environment(
            loader=ChoiceLoader([FileSystemLoader(folder) for folder in folders]),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=StrictUndefined,
        )
        self._templates.filters |= {
            "time": said_time,
            "exact_time": exact_time,
            "moment": moment,
            "duration": say_duration,
            "number": "{:,}".format,
        }

    def render(
        self, request: Request, template: str, values: Mapping[str, Any], status: int = 200, **headers: str
    ) -> Response:
        """A page, or a fragment of one; `headers` as in `HX_Trigger="rowsChanged"`."""
        here = request.scope.get("root_path", "")
        visitor = getattr(request.state, "visitor", None)
        root = here.removesuffix(self.tab.path)
        text = self._templates.get_template(template).render(
            tab=self.tab,
            tabs=self.tabs,
            here=here,
            root=root,
            airflow=root.removesuffix(ROOT),
            may_change=bool(visitor and visitor.may_change),
            **values,
        )
        return HTMLResponse(text, status, {name.replace("_", "-"): value for name, value in headers.items()})

    def answer(self, request: Request, error: Exception) -> Response:
        """An error as a toast where htmx asked, as a page where a browser did, else as JSON; never a stack trace."""
        status, sentence = told(error)
        headers = dict(getattr(error, "headers", None) or {})
        is_page = "/api/" not in request.url.path
        if is_page and is_fragment(request):
            answer = self.render(
                request, "toast.html", {"sentence": sentence}, status, HX_Retarget="#toasts", HX_Reswap="beforeend"
            )
        elif is_page and "text/html" in request.headers.get("accept", ""):
            answer = self.render(request, "error.html", {"sentence": sentence, "status": status}, status)
        else:
            answer = JSONResponse({"detail": sentence}, status)
        answer.headers.update(headers)
        return answer


def is_fragment(request: Request) -> bool:
    """Whether htmx asks for a part of the page that is open."""
    headers = request.headers
    return headers.get("hx-request") == "true" and headers.get("hx-history-restore-request") != "true"


def told(error: Exception) -> tuple[int, str]:
    """The status and the sentence of an error."""
    if isinstance(error, HeadraceError):
        sentence = str(error).encode("utf-8", "backslashreplace").decode()  # JSON may bring half a surrogate pair
        return next(status for kind, status in STATUSES if isinstance(error, kind)), sentence
    if isinstance(error, RequestValidationError):
        return 422, "; ".join(map(_said, error.errors()))
    if isinstance(error, HTTPException):
        return error.status_code, NOT_FOUND if error.detail == "Not Found" else str(error.detail)
    return 500, FAILED


def _said(error: Mapping[str, Any]) -> str:
    """What is wrong with one of the values of a request, and which it is."""
    given = error.get("input")
    if error["loc"] == ("body",) and isinstance(given, str | bytes):
        return "the body is no JSON object; send one, with `Content-Type: application/json`"
    where = ".".join(map(str, error["loc"][1:] or error["loc"]))
    sentence = f"`{shown(where)}`: {error['msg']}"
    return f"{sentence}; it is `{shown(str(given))}`" if isinstance(given, str | int | float) else sentence


def said_time(at: datetime, seconds: bool = False) -> str:
    """`2026-11-26 13:05 UTC`, or with its seconds."""
    return exact_time(at) if seconds else f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def exact_time(at: datetime) -> str:
    """`2026-11-26 13:05:27 UTC`."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def moment(seconds: float) -> datetime:
    """A time that is kept as seconds since the epoch."""
    return datetime.fromtimestamp(seconds, UTC)

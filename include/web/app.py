"""The applications of the pages are made here, so that each is guarded and tells its errors alike."""

from collections.abc import Collection

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from include.common.errors import HeadraceError
from include.web.guard import Access, Guard
from include.web.pages import FOLDER, Pages


def build_app(pages: Pages, access: Access, changing: Collection[str] = ()) -> FastAPI:
    """An application that has no route yet but its static files and its schema, which takes the login too.

    `changing` are the paths at which a `GET` changes something.
    There is no page of documentation: FastAPI's own loads scripts from another site, which our policy forbids.
    """
    app = FastAPI(title=f"Headrace: {pages.tab.title}", docs_url=None, redoc_url=None)

    async def answer(request: Request, error: Exception) -> Response:
        return pages.answer(request, error)

    for kind in (HTTPException, RequestValidationError, HeadraceError):
        app.add_exception_handler(kind, answer)
    app.add_middleware(Guard, access=access, answer=pages.answer, changing=changing)
    app.mount("/static", StaticFiles(directory=FOLDER / "static", packages=[("js_lib_htmx", "static/htmx")]))
    return app

"""Who may see and do what on the pages: Airflow's own users and their rights to a system's DAGs."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

from starlette.exceptions import HTTPException
from starlette.requests import Request

from include.web.guard import Access

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser

Method = Literal["GET", "POST"]


async def user_of(request: Request) -> "BaseUser":
    """Who is logged in, by token or cookie; an `HTTPException` of 401 where that is nobody."""
    from airflow.api_fastapi.core_api.security import bearer_scheme, get_user

    try:
        return await get_user(request, None, await bearer_scheme(request))
    except HTTPException as error:  # 403 for a token that is none, such as one from before the keys were changed
        raise HTTPException(401, str(error.detail)) from error


def may(method: Method, user: "BaseUser", dag_id: str | None) -> bool:
    """Whether a user may see the runs of a DAG (GET) or start one (POST); None stands for all DAGs."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails

    return get_auth_manager().is_authorized_dag(
        method=method, access_entity=DagAccessEntity.RUN, details=DagDetails(id=dag_id) if dag_id else None, user=user
    )


def to_all(dag_ids: Callable[[], Iterable[str]]) -> Access:
    """Access for whoever has the right to each of these DAGs; while there are none, to all DAGs of Airflow."""
    return _access(dag_ids, all)


def to_any(dag_ids: Callable[[], Iterable[str]]) -> Access:
    """Access for whoever has the right to one of these DAGs at least."""
    return _access(dag_ids, any)


def _access(dag_ids: Callable[[], Iterable[str]], how: Callable[[Iterable[bool]], bool]) -> Access:
    def allows(method: Method, user: Any) -> bool:
        asked: list[str | None] = [*dag_ids()] or [None]
        return how(may(method, user, dag_id) for dag_id in asked)

    return Access(user_of, lambda user: allows("GET", user), lambda user: allows("POST", user))

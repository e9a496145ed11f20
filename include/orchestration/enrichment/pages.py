"""The CSV page in Airflow: what it asks of Airflow, of the settings and of the application database."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI
from starlette.requests import Request

from include.common.database import connect
from include.common.limits.budget import Budgets
from include.enrichment import api
from include.enrichment.follow import ChunkTask
from include.enrichment.history import History, RunCounts
from include.enrichment.progress import KEPT_AS
from include.enrichment.service import Service
from include.orchestration import dag_runs, environment, paths, rest_here
from include.orchestration.dag_states import dag_states
from include.orchestration.enrichment.progress import CALLS, PLAN
from include.orchestration.enrichment.report import budget_key
from include.orchestration.enrichment.settings import most_upload_bytes
from include.web.guard import Access
from include.web.pages import Tab
from include.web.runs import DagRun


class FromAirflow:
    """Reads Airflow's tables; what changes something, and who may, is its REST API's."""

    def list_runs(
        self, dag_ids: Sequence[str], states: Sequence[str], first: int, most: int
    ) -> tuple[Sequence[DagRun], int]:
        """See `Airflow` in `include.enrichment.service`, as below."""
        return dag_runs.list_runs(dag_ids, states, first, most)

    def find_run(self, dag_id: str, run_id: str) -> DagRun | None:
        """One run."""
        return dag_runs.find_run(dag_id, run_id)

    def running(self, dag_id: str) -> DagRun | None:
        """The run under way."""
        found, _ = dag_runs.list_runs([dag_id], ["running"], 0, 1)
        return found[0] if found else None

    def is_on(self, dag_id: str) -> bool:
        """One that Airflow has not read is not."""
        found = dag_states([dag_id]).get(dag_id)
        return bool(found and found.is_on)

    def is_ended(self, dag_id: str, run_id: str) -> bool:
        """By its first task, which Airflow skips then; the report is still to come."""
        return dag_runs.is_skipped(dag_id, run_id, PLAN)

    def calls(self, dag_id: str, run_id: str) -> tuple[str, list[ChunkTask]]:
        """Pool and tasks of the calls."""
        tasks = dag_runs.list_tasks(dag_id, run_id, [CALLS], KEPT_AS)
        return tasks[0].pool if tasks else "", [ChunkTask(task.map_index, task.state, task.kept) for task in tasks]

    async def params(self, request: Request, dag_id: str) -> tuple[Mapping[str, Mapping[str, Any]], bool]:
        """As Airflow's own form has them."""
        found = await rest_here.ask(request, "GET", f"/dags/{dag_id}/details")
        return found["params"] or {}, not found["is_paused"]

    async def trigger(self, request: Request, dag_id: str, conf: Mapping[str, Any]) -> str:
        """By the REST API."""
        body = {"logical_date": None, "conf": dict(conf)}
        found = await rest_here.ask(request, "POST", f"/dags/{dag_id}/dagRuns", body)
        return str(found["dag_run_id"])

    async def fail(self, request: Request, dag_id: str, run_id: str) -> None:
        """By the REST API."""
        await rest_here.ask(request, "PATCH", f"/dags/{dag_id}/dagRuns/{quote(run_id)}", {"state": "failed"})


def build_app(tab: Tab, tabs: tuple[Tab, ...], access: Access, dag_ids: Callable[[], Sequence[str]]) -> FastAPI:
    """The application that `systems.py` names."""
    service = Service(dag_ids(), FromAirflow(), paths.storage, most_upload_bytes, _counts, _used)
    return api.build_app(tab, tabs, access, service, lambda user: str(user.get_name()))


def _counts(dag_id: str, run_ids: Sequence[str]) -> Mapping[str, RunCounts]:
    return History(connect(environment.database_url())).of(dag_id, run_ids)


def _used(dag_id: str, run_id: str) -> int | None:
    return Budgets(connect(environment.database_url())).used(budget_key(dag_id, run_id))

"""A stand-in for Airflow: the tasks of a CSV pipeline one after the other in this process, without a scheduler.

It hands them the context that Airflow would, keeps their XComs, retries at once, and ends the run as Airflow does.
"""

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from airflow.sdk.execution_time.context import OutletEventAccessors, set_current_context

from include.enrichment.models import Pipeline
from include.orchestration.enrichment.form import output_alias, params
from include.orchestration.enrichment.report import RunReportOperator
from include.orchestration.enrichment.tasks import call_api, plan, transform, write_json

RETRIES = 3


@dataclass
class TaskInstance:
    """What a task is given of itself; XComs are kept under task, index and key."""

    run: "Run"
    task_id: str
    map_index: int = -1
    try_number: int = 1
    max_tries: int = RETRIES

    def xcom_push(self, key: str, value: Any) -> None:
        self.run.xcoms[self.task_id, self.map_index, key] = value

    def xcom_pull(self, task_ids: list[str], key: str) -> list[Any]:
        return [value for (task_id, _, name), value in self.run.xcoms.items() if task_id in task_ids and name == key]

    def get_task_states(self, dag_id: str, task_ids: list[str], run_ids: list[str]) -> dict[str, dict[str, str]]:
        asked = [run for run in self.run.airflow.runs if run.dag_id == dag_id and run.run_id in run_ids]
        return {
            run.run_id: {name: state for (name, _), state in run.states.items() if name in task_ids} for run in asked
        }

    def get_dr_count(self, dag_id: str, run_ids: list[str], states: list[str] | None = None) -> int:
        asked = [run for run in self.run.airflow.runs if run.dag_id == dag_id and run.run_id in run_ids]
        self.run.airflow.asked += 1
        return len([run for run in asked if states is None or run.state in states])


@dataclass
class TaskState:
    """What a task keeps for its next try."""

    kept: dict[str, Any]

    def get(self, key: str, default: Any = None) -> Any:
        return self.kept.get(key, default)

    def set(self, key: str, value: Any) -> None:
        self.kept[key] = value


@dataclass
class Run:
    """A run: what it was asked for, how it and its tasks stand. `states` is under task and index, -1 if not mapped.

    `events` are those of assets, each the asset's name and what is told with it.
    """

    airflow: "AirflowStandIn" = field(repr=False)
    dag_id: str
    run_id: str
    conf: dict[str, Any] = field(default_factory=dict)
    state: str = "running"
    start_date: datetime = field(default_factory=lambda: datetime.now(UTC))
    states: dict[tuple[str, int], str] = field(default_factory=dict)
    tries: dict[tuple[str, int], int] = field(default_factory=dict)
    xcoms: dict[tuple[str, int, str], Any] = field(default_factory=dict)
    kept: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def state_of(self, task_id: str) -> str:
        """The one state of all instances of a task."""
        (state,) = {state for (name, _), state in self.states.items() if name == task_id}
        return state


@dataclass
class AirflowStandIn:
    """Runs pipelines; `runs` are all it has heard of, `asked` counts the questions about them."""

    runs: list[Run] = field(default_factory=list)
    asked: int = 0

    def add(self, dag_id: str, run_id: str, state: str = "success") -> Run:
        """A run that Airflow knows, without running it."""
        self.runs.append(Run(self, dag_id, run_id, state=state))
        return self.runs[-1]

    def context(self, pipeline: Pipeline, run: Run, ti: TaskInstance | None = None) -> Any:
        """What Airflow hands to a task; a value of the conf that breaks its parameter raises, as the REST API does."""
        ti = ti or TaskInstance(run, "plan")
        values = {
            name: param.resolve(run.conf[name]) if name in run.conf else param.value
            for name, param in params(pipeline).items()
        }
        return {
            "dag_run": SimpleNamespace(
                dag_id=run.dag_id, run_id=run.run_id, conf=run.conf, start_date=run.start_date, run_type="manual"
            ),
            "ti": ti,
            "params": values,
            "dag": SimpleNamespace(max_active_tasks=16),
            "task_state_store": TaskState(run.kept.setdefault((ti.task_id, ti.map_index), {})),
            "outlets": [output_alias(pipeline)],
            "outlet_events": OutletEventAccessors(),
        }

    def run(self, pipeline: Pipeline, run_id: str | None = None, **conf: Any) -> Run:
        """Run all tasks to the end."""
        run = self.add(pipeline.name, run_id or f"manual__{len(self.runs) + 1}", "running")
        run.conf = conf
        chunks = self._work(pipeline, run, "plan", lambda _: plan.function(pipeline))
        for index, chunk in enumerate(chunks or []):
            self._work(pipeline, run, "call_api", lambda _, chunk=chunk: call_api.function(pipeline, chunk), index)
        called = {state for (name, _), state in run.states.items() if name == "call_api"}
        if chunks is not None and called <= {"success"}:
            counts = self._work(pipeline, run, "transform", lambda _: transform.function(pipeline))
            if counts is not None:
                self._work(pipeline, run, "write_json", lambda _: write_json.function(pipeline, counts))
        notify = RunReportOperator(task_id="notify", pipeline=pipeline)
        self._work(pipeline, run, "notify", notify.execute)
        run.state = "failed" if run.state_of("notify") == "failed" else "success"
        return run

    def _work(self, pipeline: Pipeline, run: Run, task_id: str, work: Callable[[Any], Any], map_index: int = -1) -> Any:
        """A task, with its retries; returns the value of `work`, None where it did not succeed."""
        key = (task_id, map_index)
        for number in range(1, RETRIES + 2):
            run.tries[key] = number
            for name in [name for name in run.xcoms if name[:2] == key]:
                del run.xcoms[name]
            context = self.context(pipeline, run, TaskInstance(run, task_id, map_index, number))
            try:
                with set_current_context(context):
                    value = work(context)
                    value = asyncio.run(value) if inspect.iscoroutine(value) else value
            except AirflowSkipException:
                run.states[key] = "skipped"
                return None
            except AirflowFailException:
                run.states[key] = "failed"
                return None
            except Exception:  # noqa: BLE001 (as Airflow: whatever it is, it is tried again)
                run.states[key] = "failed"
            else:
                run.states[key] = "success"
                told = context["outlet_events"][output_alias(pipeline)].asset_alias_events
                run.events += [(event.dest_asset_key.name, event.extra) for event in told]
                return value
        return None

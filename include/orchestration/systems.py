"""The one list of the systems: what whoever starts, migrates, waits for and stops Headrace has to know of each.

It imports nothing of ours and no package, for the launcher and the scheduler read it before anything else; where it
names something of a system, that is a module's name.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Demo:
    """A stand-in on this machine for a service of somebody else's, which the launcher starts where a DAG has no other.

    `command` is what `python -m` starts; `{port}` in it and in `url` is a free port of loopback. DAGs find the URL in
    the environment under `variable`, and turn to it only where they have no address of their own. `addresses` has, for
    each DAG that the demo can serve, the variables by which a user gives it one. One without a `variable` has no
    address: it works with what the others offer, whose variables are in its environment; `environment` has what its own
    process is given besides, in which `{TOYS_DEMO}` stands for the address under that variable.
    """

    name: str
    command: tuple[str, ...]
    variable: str
    addresses: Mapping[str, tuple[str, ...]]
    url: str = "http://127.0.0.1:{port}"
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if "demo" not in self.name:
            raise ValueError(f"the demo `{self.name}` must have `demo` in its name")

    def command_at(self, port: int) -> list[str]:
        """What to start for it to listen on `port`."""
        return [part.replace("{port}", str(port)) for part in self.command]

    def url_at(self, port: int) -> str:
        """Where it answers then; "" where it has no address."""
        return self.url.replace("{port}", str(port)) if self.variable else ""

    def environment_with(self, addresses: Mapping[str, str]) -> dict[str, str]:
        """What its process is given of its own, by variable; `addresses` are those of the demos that are started."""
        return {name: text.format_map(addresses) for name, text in self.environment.items()}

    def is_needed(self, environment: Mapping[str, str], dag_id: str | None = None) -> bool:
        """Whether `dag_id`, or any DAG that the demo can serve, is given no address in the user's `environment`."""
        wanted = (names for served, names in self.addresses.items() if dag_id in (None, served))
        return any(not any(environment.get(name) for name in names) for names in wanted)


@dataclass(frozen=True)
class Page:
    """A system's pages inside Airflow, `/headrace/<name>`: the `build_app(tab, tabs, access, dag_ids)` of `module`."""

    name: str
    module: str


@dataclass(frozen=True)
class System:
    """A system of Headrace: `include/<name>`, `include/orchestration/<name>` and its files in `dags/`.

    `dags` has, for each of these files, the ids of the DAGs that it makes, or a function that lists those expected now.
    `settings` are variables that a user may set besides the addresses; its processes take both when they are started.
    `models` is the module with its tables, on the metadata of a `Base`; their revisions are in `migrations/` beside it.
    A scheduler imports `libraries`, the packages of others that DAG files and tasks need, before it starts a task;
    `modules` are our own that it imports where an edit need not count.
    `runner` is the module whose `RUNNER` (`runner.py` beside this file) lets `make run` and `make trigger` start and
    follow runs of its DAGs; without one they are not started from there.
    `page` says where its pages are; a system without one is in the overview all the same.
    `fill` is the module whose `fill(environment, demos)` puts into the migrated database what is to be seen of the
    demos of these names, and takes away what is there of others: called when an Airflow that lasts is started, with the
    environment of its processes.
    `check` is the module whose `from_environment(environment)` raises `ConfigError` for settings that cannot work.
    `measure` is the module whose `measure(dag_ids)` gives Prometheus's metrics of these of its DAGs.
    """

    name: str
    title: str
    dags: Mapping[str, tuple[str, ...] | Callable[[], Iterable[str]]]
    models: str = ""
    fill: str = ""
    check: str = ""
    runner: str = ""
    page: Page | None = None
    measure: str = ""
    demos: tuple[Demo, ...] = ()
    settings: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()

    def dag_ids(self) -> list[str]:
        """The DAGs that the system is expected to have now."""
        return [dag_id for file in self.dags for dag_id in self.dags_of(file)]

    def dags_of(self, file: str) -> list[str]:
        """The DAGs that one of its files is expected to make now."""
        made = self.dags[file]
        return sorted(made() if callable(made) else made)

    def variables(self, dag_id: str | None = None) -> list[str]:
        """What a user may set for the system in the environment, or for one of its DAGs."""
        addresses = [
            name
            for demo in self.demos
            for served, names in demo.addresses.items()
            if dag_id in (None, served)
            for name in names
        ]
        return list(dict.fromkeys([*addresses, *self.settings]))


# By which of these a user names brokers; the demos of the parser tasks are for whoever names none.
_BROKERS = dict.fromkeys(
    ("parser_tasks_create", "parser_tasks_cancel_expired", "parser_task_statuses"),
    ("KAFKA_BOOTSTRAP_SERVERS", "KAFKA_HOST", "KAFKA_PORT", "AIRFLOW_CONN_KAFKA_DEFAULT"),
)
_OF_DEMO_WORKER = {
    "KAFKA_BOOTSTRAP_SERVERS": "{HEADRACE_DEMO_KAFKA}",
    "KAFKA_WORKER_OPTIONS": '{{"session.timeout.ms": 6000}}',
    "VK_API_URL": "{HEADRACE_DEMO_SOURCES}",
    "VK_ACCESS_TOKEN": "demo",
    "YOUTUBE_API_URL": "{HEADRACE_DEMO_SOURCES}/youtube/v3",
    "YOUTUBE_API_KEY": "demo",
}

SYSTEMS: tuple[System, ...] = (
    System(
        name="enrichment",
        title="CSV",
        dags={"csv_processing.py": ("csv_processing",), "symbol_processing.py": ("symbol_processing",)},
        demos=(
            Demo(
                name="demo-api",
                command=("include.demo_api", "--port", "{port}"),
                variable="HEADRACE_DEMO_API",
                addresses={
                    "csv_processing": ("API_URL", "AIRFLOW_CONN_CSV_API"),
                    "symbol_processing": ("AIRFLOW_CONN_SYMBOL_API",),
                },
            ),
        ),
        models="include.enrichment.tables",
        runner="include.orchestration.enrichment.runner",
        page=Page("csv", "include.orchestration.enrichment.pages"),
        settings=("HEADRACE_UPLOAD_MB",),
        measure="include.orchestration.enrichment.metrics",
        libraries=("aiohttp", "pandas"),
        modules=("include.orchestration.enrichment.report", "include.orchestration.enrichment.tasks"),
    ),
    System(
        name="parser_tasks",
        title="Parser tasks",
        dags={
            "parser_tasks_create.py": ("parser_tasks_create",),
            "parser_tasks_cancel_expired.py": ("parser_tasks_cancel_expired",),
            "parser_task_statuses.py": ("parser_task_statuses",),
        },
        demos=(
            Demo(
                name="demo-kafka",
                command=("include.demo_broker", "--port", "{port}"),
                variable="HEADRACE_DEMO_KAFKA",
                addresses=_BROKERS,
                url="127.0.0.1:{port}",
            ),
            Demo(
                name="demo-sources",
                command=("include.demo_sources", "--port", "{port}"),
                variable="HEADRACE_DEMO_SOURCES",
                addresses=_BROKERS,
            ),
            *(
                Demo(
                    name=f"demo-worker-{parser}",
                    command=("include.parser_tasks.worker", parser),
                    variable="",
                    addresses=_BROKERS,
                    environment=_OF_DEMO_WORKER,
                )
                for parser in ("rss", "vk", "youtube")
            ),
        ),
        models="include.parser_tasks.tables",
        fill="include.orchestration.parser_tasks.demo",
        check="include.parser_tasks.settings",
        page=Page("parser-manager", "include.orchestration.parser_tasks.pages"),
        measure="include.orchestration.parser_tasks.metrics",
        settings=(
            "RSS_PARSER_TASKS_TOPIC",
            "VK_PARSER_TASKS_TOPIC",
            "YOUTUBE_PARSER_TASKS_TOPIC",
            "DEFAULT_PAGINATION_SIZE",
            "KAFKA_DEFAULT_BULK_SIZE",
            "KAFKA_DEFAULT_BULK_TIMEOUT",
            "KAFKA_HEARTBEAT_INTERVAL_MS",
            "KAFKA_MAX_REQUEST_SIZE",
            "KAFKA_PARTITIONS",
            "KAFKA_SESSION_TIMEOUT_MS",
            "KAFKA_TASKS_CONSUMER_GROUP",
            "KAFKA_TASK_STATUS_TOPIC",
            "KAFKA_WORKERS_ENABLED",
            "PARSER_TASKS_BACKLOG_LIMIT",
        ),
        libraries=("confluent_kafka.admin", "croniter"),
        modules=("include.orchestration.parser_tasks.tasks",),
    ),
)

# What `make run` and `make trigger` run where no DAG is named.
DEFAULT_DAG = "csv_processing"


def dag_ids() -> list[str]:
    """Every DAG that is expected now."""
    return sorted(dag_id for system in SYSTEMS for dag_id in system.dag_ids())


def system_of(dag_id: str) -> System:
    """The system of a DAG; `KeyError` for a DAG that no system has."""
    for system in SYSTEMS:
        if dag_id in system.dag_ids():
            return system
    raise KeyError(dag_id)


def file_of(dag_id: str) -> str:
    """The file in `dags/` that makes a DAG; `KeyError` for a DAG that no system has."""
    system = system_of(dag_id)
    return next(file for file in system.dags if dag_id in system.dags_of(file))


def demos(environment: Mapping[str, str], dag_id: str | None = None) -> Iterator[Demo]:
    """The demos that the user's `environment` leaves a need of: for any DAG, or for one."""
    return (demo for system in SYSTEMS for demo in system.demos if demo.is_needed(environment, dag_id))

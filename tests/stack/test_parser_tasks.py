"""The parser tasks with the profile `kafka`: created, sent, parsed by the reference parsers and seen; and what dies."""

import json
from datetime import datetime

import httpx
import pytest

from include.launch.stack.preflight import SECRETS
from tests.monitoring import measured_of_parsers
from tests.stack.conftest import SCHEDULED, run, wait_until
from tests.stack.kafka_image import have_image
from tests.stack.test_monitoring import scraped

SOURCES = {"rss": "http://demo-sources:8091/feeds/news.xml", "vk": "demo_mill", "youtube": "@demo"}
WORKERS = [f"parser-worker-{name}" for name in SOURCES]
PROFILE = {
    "COMPOSE_PROFILES": "demo,kafka",
    "VK_ACCESS_TOKEN": "kqz91-of-vk",
    "VK_API_URL": "http://demo-sources:8091",
    "YOUTUBE_API_KEY": "kqz92-of-youtube",
    "YOUTUBE_API_URL": "http://demo-sources:8091/youtube/v3",
    "JOB_SCHEDULE": "True",
}
PAGE, API = "/headrace/parser-manager", "/headrace/parser-manager/api/v1"


class Manager:
    """The pages and the API of the parser tasks, as a user has them."""

    def __init__(self, stack, user):
        login = {"username": user, "password": stack.secret(f"{user.upper()}_PASSWORD")}
        self.http = httpx.Client(base_url=stack.web, timeout=120, trust_env=False)
        token = self.http.post("/auth/token", json=login).raise_for_status().json()["access_token"]
        self.http.headers["Authorization"] = f"Bearer {token}"

    def call(self, method, path, **arguments):
        """What the API answers, or nothing."""
        answer = self.http.request(method, API + path, **arguments)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def add(self, name, parser, address, schedule="7 days", deadline=300):
        """A source with tasks of the type `latest`; returns its id."""
        every = {"task_type": "latest", "schedule": schedule, "deadline_seconds": deadline}
        given = {"name": name, "parser": parser, "address": address, "task_types": [every]}
        return self.call("POST", "/source/", json=given)["id"]

    def create(self, source_id):
        """Have a task of the source made and sent now."""
        return self.call("POST", "/task_group/", json={"source_ids": [source_id], "only_due": False})

    def newest(self, source_id):
        """The newest task of a source, None where it has none."""
        found = self.call("GET", "/task/", params={"source_id": source_id, "page_size": 1})["items"]
        return found[0] if found else None

    def ended(self, source_id, seconds=180):
        """The newest task of a source once it has come to an end."""

        def end():
            found = self.newest(source_id)
            return found if found and found["ended_at"] else None

        return wait_until(end, f"the end of the task of source {source_id}", seconds, every=1)


@pytest.fixture(scope="module")
def with_kafka(stack, tmp_path_factory):
    """The stack with the profile and with its schedule on, but for the DAGs whose calls other tests count."""
    have_image(tmp_path_factory.mktemp("kafka"))
    before = dict(stack.environment)
    for dag_id in SCHEDULED:
        stack.rest("PATCH", f"/dags/{dag_id}?update_mask=is_paused", json={"is_paused": True})
    stack.environment.update(PROFILE)
    try:
        made = stack.make("stack-up")
        assert made.status == 0, made.output
        yield stack
    finally:
        stack.compose("rm", "--stop", "--force", *WORKERS, "kafka", "demo-sources")
        stack.environment.clear()
        stack.environment.update(before)
        stack.compose("up", "--detach", "--wait")
        for dag_id in SCHEDULED:
            stack.rest("PATCH", f"/dags/{dag_id}?update_mask=is_paused", json={"is_paused": False})


@pytest.fixture(scope="module")
def manager(with_kafka):
    found = Manager(with_kafka, "admin")
    if "latest" not in [each["name"] for each in found.call("GET", "/task_type/")["items"]]:
        found.call("POST", "/task_type/", json={"name": "latest"})
    return found


@pytest.fixture(scope="module")
def parsed(manager):
    """By parser, a source that was added by HTTP with the task that the schedule made of it."""
    added = {
        parser: manager.add(f"scheduled {parser}", parser, address, "* * * * *") for parser, address in SOURCES.items()
    }
    found = {parser: (source_id, manager.ended(source_id)) for parser, source_id in added.items()}
    for source_id in added.values():
        manager.call("PATCH", f"/source/{source_id}", json={"active": False})
    return found


@pytest.mark.parametrize("parser", SOURCES)
def test_a_source_is_parsed_by_its_schedule_and_what_was_found_is_in_the_storage(with_kafka, manager, parsed, parser):
    source_id, task = parsed[parser]
    assert (task["status"], task["attempt"], task["error"]) == ("done", 1, "")
    assert (task["topic"], task["offset"] is not None) == (f"{parser}_parser_tasks", True)
    assert task["created_at"] <= task["queued_at"] <= task["ended_at"] < task["deadline_at"]
    group = manager.call("GET", f"/task_group/{task['group_id']}")
    assert (group["cause"], group["total"], group["done"]) == ("schedule", 1, 1)
    events = manager.call("GET", f"/task/{task['id']}")["events"]
    assert [(each["status"], each["refused"]) for each in events] == [("in_progress", ""), ("done", "")]
    lines = with_kafka.read(f"parser-tasks/{parser}/{source_id}/{task['id']}.jsonl").splitlines()
    assert len(lines) == task["statistics"]["items"] > 0
    assert all(json.loads(line) for line in lines)


def test_the_page_shows_the_tasks_their_groups_and_their_sources(manager, parsed):
    for path in ("/tasks", "/sources"):
        shown = manager.http.get(PAGE + path).raise_for_status().text
        assert [parser for parser in SOURCES if f"scheduled {parser}" not in shown] == []
    backlog = manager.http.get(f"{PAGE}/backlog").raise_for_status().text
    assert [name for name in SOURCES if f"{name}_parser_tasks, read by {name}_parsers" not in backlog] == []
    for _, task in parsed.values():
        assert task["worker"] in manager.http.get(f"{PAGE}/tasks/{task['id']}").raise_for_status().text


def test_prometheus_is_told_all_that_the_panels_show(with_kafka, parsed):
    told = scraped(with_kafka, with_kafka.secret("HEADRACE_METRICS_TOKEN")).text
    assert [name for name in measured_of_parsers() if f"\n{name}{{" not in told] == []


def test_a_viewer_reads_and_changes_nothing(with_kafka, manager, parsed):
    source_id, task = parsed["rss"]
    viewer = Manager(with_kafka, "viewer").http
    for path in (f"{API}/task/", f"{API}/source/{source_id}", f"{PAGE}/tasks"):
        assert viewer.get(path).status_code == 200, path
    for method, path in (
        ("POST", "/task_group/"),
        ("GET", "/task_group/cancel_expired_task_group"),
        ("POST", f"/task/{task['id']}/retry"),
        ("PATCH", f"/source/{source_id}"),
        ("DELETE", f"/source/{source_id}"),
    ):
        assert viewer.request(method, API + path).status_code == 403, path
    assert manager.newest(source_id)["id"] == task["id"]


def test_a_parser_holds_no_secret_but_that_of_its_own_source(with_kafka):
    for worker, own in zip(WORKERS, ([], ["VK_ACCESS_TOKEN"], ["YOUTUBE_API_KEY"]), strict=True):
        given = run(["docker", "inspect", *with_kafka.containers(worker)]).output
        assert [name for name in SECRETS if with_kafka.secret(name) in given] == []
        assert [name for name in ("VK_ACCESS_TOKEN", "YOUTUBE_API_KEY") if PROFILE[name] in given] == own


def test_a_task_whose_worker_is_stopped_is_cancelled_at_its_deadline(with_kafka, manager):
    with_kafka.compose("stop", "parser-worker-rss")
    try:
        source_id = manager.add("nobody parses it", "rss", f"{SOURCES['rss']}?late", deadline=15)
        made = manager.create(source_id)
        assert (made["tasks"], made["sent"], made["waiting"]) == (1, 1, "")
        task = manager.ended(source_id)
    finally:
        with_kafka.compose("up", "--detach", "--wait", "--no-deps", "parser-worker-rss")
    assert (task["status"], task["reason"]) == ("cancelled", "expired")
    assert datetime.fromisoformat(task["ended_at"]) >= datetime.fromisoformat(task["deadline_at"])
    assert manager.call("GET", f"/task_group/{task['group_id']}")["late"] == 1


def test_tasks_that_were_created_while_the_broker_was_dead_are_sent_when_it_is_back(with_kafka, manager):
    with_kafka.compose("kill", "kafka")
    try:
        source_id = manager.add("waits for the broker", "rss", f"{SOURCES['rss']}?waits")
        made = manager.create(source_id)
        assert (made["tasks"], made["sent"]) == (1, 0)
        assert "kafka:9092" in made["waiting"]
        waiting = manager.newest(source_id)
        assert waiting["status"] == "created"
    finally:
        with_kafka.compose("start", "kafka")
    # Sender, worker and reader come back one after the other, each when a session of before has ended (45 s).
    task = manager.ended(source_id, 400)
    assert (task["id"], task["status"], task["attempt"]) == (waiting["id"], "done", 1)

"""The JSON API of the parser tasks, over a database, a broker in memory, and users that a header names."""

from uuid import UUID

import pytest

from include.common.errors import TransientError
from include.parser_tasks import tables
from include.parser_tasks.api import build_app
from include.parser_tasks.broker_admin import Backlog
from include.parser_tasks.models import Status
from include.parser_tasks.paging import cursor
from include.parser_tasks.service import Service
from include.parser_tasks.settings import KafkaSettings, Settings
from include.web.pages import Tab
from tests.routes import CHANGING, answered, documented, paths, undocumented
from tests.unit.parser_tasks.conftest import NOON, TOPICS
from tests.unit.web.conftest import ACCESS, ADMIN, OWN_FORM, STRANGER, VIEWER, served  # noqa: F401 (fixture)

TAB = Tab("Parser tasks", "/parser-manager")
ROOT = "/headrace/parser-manager/api/v1"
EXPIRE = f"{ROOT}/task_group/cancel_expired_task_group"
FEED = {"name": "a feed", "parser": "rss", "address": "https://example.com/feed"}
HOURLY = {"task_type": "latest", "schedule": "1 hour"}
NOBODY = "00000000-0000-7000-8000-000000000000"


class Broker:
    """What the service asks of Kafka: the world's broker, which may be away."""

    def __init__(self, world):
        self.world, self.away, self.closed = world, False, 0
        self.oldest_unread_at = None

    def producer(self, settings):
        return self

    def admin(self, settings, seconds):
        return self

    def send(self, messages, seconds):
        assert seconds < 10
        if self.away:
            self.world.kafka.takes = 0
        return self.world.kafka.send(messages, seconds)

    def backlog(self, group, topic):
        if self.away:
            raise TransientError("Kafka at `kafka:9092` does not answer")
        return Backlog(0, self.oldest_unread_at)

    def groups_of(self, topic, known=()):
        if self.away:
            raise TransientError("Kafka at `kafka:9092` does not answer")
        return dict.fromkeys(known, 3)

    def close(self):
        self.closed += 1


@pytest.fixture
def broker(world):
    return Broker(world)


@pytest.fixture
def settings():
    return {"kafka": KafkaSettings("kafka:9092", topics=TOPICS), "page_size": 100}


@pytest.fixture
def service(current, world, broker, settings):
    current.service = Service(
        lambda: world.engine, lambda: Settings(**settings), broker.producer, broker.admin, world.clock
    )
    return current.service


@pytest.fixture(scope="module")
def app(current):
    return build_app(TAB, (TAB,), ACCESS, current)


@pytest.fixture
def client(app, service, served):  # noqa: F811
    client = served(**{"parser-manager": app})
    client.headers.update(ADMIN)
    return client


@pytest.fixture
def call(client):
    """Calls the API, and says the status and the JSON of the answer."""

    def call(method, path, **options):
        answer = client.request(method, ROOT + path, **options)
        return answer.status_code, answer.json() if answer.content else None

    return call


def nested(levels):
    found = 1
    for _ in range(levels):
        found = {"a": found}
    return found


def new_source(call, **more):
    status, found = call("POST", "/source/", json={**FEED, "task_types": [HOURLY], **more})
    assert status == 201, found
    return found


def test_sources_are_made_changed_and_deleted(call, world):
    made = new_source(call, settings={"limit": 3})
    assert {name: made[name] for name in FEED} == FEED
    assert (made["settings"], made["active"], made["failures"]) == ({"limit": 3}, True, 0)
    assert made["created_at"] == "2025-11-26T12:00:00Z"
    [latest] = made["task_types"]
    assert (latest["due_at"], latest["deadline_seconds"], latest["priority"]) == ("2025-11-26T13:00:00Z", 600, 0)
    at = f"/source/{made['id']}"
    assert call("GET", at) == (200, made)
    assert call("PATCH", at, json={"active": False}) == (200, {**made, "active": False})
    status, found = call("PATCH", at, json={"name": "b", "task_types": [{"task_type": "all", "schedule": "@daily"}]})
    assert (status, found["name"]) == (200, "b")
    assert [each["task_type"] for each in found["task_types"]] == ["all", "latest"]
    assert call("PUT", at, json={**FEED, "name": "c"})[1]["active"] is True
    assert call("PUT", at, json={"name": "c"})[0] == call("PUT", at, json={**FEED, "settings": None})[0] == 422
    assert call("DELETE", at) == (200, {"cancelled_tasks": 0})
    assert call("GET", at)[0] == call("PATCH", at, json={})[0] == call("DELETE", at)[0] == 404
    assert world.rows(tables.SourceTaskType) == []


def test_the_open_tasks_of_a_deleted_source_are_cancelled(call, world):
    made = new_source(call)
    call("POST", "/task_group/", json={"only_due": False})
    assert call("DELETE", f"/source/{made['id']}") == (200, {"cancelled_tasks": 1})
    [task] = call("GET", "/task/")[1]["items"]
    assert (task["status"], task["reason"], task["source_id"]) == ("cancelled", "source deleted", None)
    world.check_counts()


def test_a_source_keeps_its_parser_while_it_has_open_tasks(call):
    made = new_source(call)
    call("POST", "/task_group/", json={"only_due": False})
    at = f"/source/{made['id']}"
    assert call("PATCH", at, json={"parser": "vk"}) == (
        409,
        {"detail": "the source has open tasks, which were made for its parser; cancel them first"},
    )
    assert call("PATCH", at, json={"active": False, "address": "https://b"})[0] == 200
    call("POST", "/task/cancel", json={"filter": {}})
    assert call("PATCH", at, json={"parser": "vk"})[0] == 200


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": ""}, "name has 0 characters; allowed are 1 to 200 characters"),
        ({"name": "x" * 201}, "name has 201 characters"),
        ({"name": "a\0b"}, "U+0000"),
        ({"name": "a\nb"}, "U+000A"),
        ({"name": None}, "`name`"),
        ({"name": 7}, "`name`"),
        ({"address": "x" * 2001}, "address has 2001 characters"),
        ({"parser": "fax"}, "parser is `fax`; registered are `rss`, `vk`, `youtube`"),
        ({"parser": "\u202e" * 90}, "registered are"),
        ({"settings": []}, "`settings`"),
        ({"settings": {"a": "\0"}}, "U+0000"),
        ({"settings": {"a": "x" * 70_000}}, "allowed are 65,536"),
        ({"settings": {"a": [{"b": 2**63}]}}, "settings has a whole number beyond 9,223,372,036,854,775,807"),
        ({"settings": nested(51)}, "settings has objects and lists in more than 50 levels"),
        ({"settings": nested(400)}, "settings has objects and lists in more than 50 levels"),
        ({"active": "perhaps"}, "`active`"),
        ({"colour": "red"}, "`colour`"),
        ({"task_types": [{"task_type": "latest"}]}, "`schedule` must be given"),
        ({"task_types": [{**HOURLY, "task_type": "none"}]}, "task_type is `none`; there are `all`, `latest`"),
        ({"task_types": [{**HOURLY, "task_type": "\0"}]}, "`task_types.0.task_type`"),
        ({"task_types": [HOURLY] * 101}, "`task_types`"),
    ],
)
def test_a_source_that_cannot_be_is_refused(call, world, given, said):
    status, found = call("POST", "/source/", json={**FEED, **given})
    assert (status, said in found["detail"]) == (422, True), found
    assert world.rows(tables.Source) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"name": "\\ud800", "parser": "rss", "address": "x"}',
        b'{"name": "x", "parser": "\\ud800", "address": "x"}',
        b'{"name": "x", "parser": "rss", "address": "x", "settings": {"\\ud800": 1}}',
        b'{"name": "x", "parser": "rss", "address": "x", "settings": {"a": NaN}}',
        b'{"name": "x", "parser": "rss", "address": "x", "\\ud800": 1}',
        b'{"name": "x", "parser": "rss", "address": "x", "settings": ' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}",
    ],
    ids=range(11),
)
def test_wrong_json_is_refused_with_a_sentence(call, client, body):
    status, found = call("POST", "/source/", content=body, headers={"content-type": "application/json"})
    assert (status in (400, 422), bool(found["detail"])) == (True, True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"schedule": "soon"}, "schedule is `soon`; allowed is an interval"),
        ({"schedule": "30 seconds"}, "1 minute to 366 days"),
        ({"schedule": "999999999 days"}, "1 minute to 366 days"),
        ({"schedule": "61 * * * *"}, "schedule is"),
        ({"schedule": "0 0 30 2 *"}, "schedule is"),
        ({"schedule": "R R * * *"}, "schedule is"),
        ({"schedule": "r(0-10)/5 * * * *"}, "schedule is"),
        ({"schedule": "* * * * * *"}, "schedule is"),
        ({"schedule": "0 minutes"}, "schedule is"),
        ({"schedule": "x" * 201}, "201 characters"),
        ({"schedule": ""}, "0 characters"),
        ({"priority": 10**9}, "-1000 to 1000"),
        ({"priority": 1.5}, "`priority`"),
        ({"priority": 10**400}, "priority"),
        ({"deadline_seconds": 0}, "deadline_seconds is 0.0; allowed is 1 to 2592000"),
        ({"deadline_seconds": -1}, "deadline_seconds"),
        ({"deadline_seconds": 10**400}, "deadline_seconds"),
        ({"source_id": 0}, "`source_id`"),
        ({"source_id": 2**63}, "`source_id`"),
        ({"source_id": "x"}, "`source_id`"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(call, world, given, said):
    source = world.source("has none")
    world.set(tables.SourceTaskType, active=False)
    status, found = call(
        "POST", "/source_task_type/", json={"source_id": source, **HOURLY, "task_type": "all", **given}
    )
    assert (status, said in found["detail"]) == (422, True), found


def test_schedules_are_made_changed_and_deleted(call, world):
    source = new_source(call, task_types=[])["id"]
    new = {"source_id": source, **HOURLY, "priority": 5}
    status, made = call("POST", "/source_task_type/", json=new)
    assert (status, made["due_at"], made["source_name"]) == (201, "2025-11-26T13:00:00Z", "a feed")
    at = f"/source_task_type/{made['id']}"
    assert call("POST", "/source_task_type/", json=new)[0] == 409
    assert call("POST", "/source_task_type/", json={**new, "source_id": 2**63 - 1})[0] == 404
    assert call("GET", at) == (200, made)
    world.now += 60
    assert call("PATCH", at, json={"priority": 1})[1]["due_at"] == made["due_at"]
    assert call("PATCH", at, json={"schedule": "*/5 * * * *"})[1]["due_at"] == "2025-11-26T12:05:00Z"
    assert call("PUT", at, json={"schedule": "2 hours"})[1] == {
        **made,
        "schedule": "2 hours",
        "priority": 0,
        "due_at": "2025-11-26T14:01:00Z",
    }
    assert call("DELETE", at) == (204, None)
    assert call("GET", at)[0] == call("DELETE", at)[0] == 404


def test_settings_as_deep_and_large_as_they_may_be_are_kept(call):
    settings = {"deep": nested(49)["a"], "large": 2**63 - 1, "small": 1 - 2**63, "text": "\u202e\U0001f680"}
    made = new_source(call, settings=settings)
    assert call("GET", f"/source/{made['id']}")[1]["settings"] == settings
    assert call("GET", "/source/")[1]["items"] == [made]


def test_a_schedule_is_tried_before_it_is_set(call):
    status, found = call("GET", "/source_task_type/preview", params={"schedule": "6 hours"})
    assert (status, found["times"][0], found["times"][4]) == (200, "2025-11-26T18:00:00Z", "2025-11-27T18:00:00Z")
    assert call("GET", "/source_task_type/preview", params={"schedule": "soon"})[0] == 422


def test_types_of_tasks_are_made_changed_and_deleted(call, world):
    try:
        status, made = call("POST", "/task_type/", json={"name": "comments", "title": "Comments"})
        assert (status, made["name"]) == (201, "comments")
        at = f"/task_type/{made['id']}"
        assert call("POST", "/task_type/", json={"name": "comments"})[0] == 409
        assert call("POST", "/task_type/", json={"name": "x" * 201})[0] == 422
        assert call("PATCH", at, json={"title": ""}) == (200, {**made, "title": ""})
        assert call("PUT", at, json={"name": "latest"})[0] == 409
        assert [each["name"] for each in call("GET", "/task_type/")[1]["items"]] == ["all", "comments", "latest"]
        first = call("GET", "/task_type/?page_size=2&sort=-name")[1]
        assert ([each["name"] for each in first["items"]], first["total"]) == (["latest", "comments"], 3)
        last = call("GET", "/task_type/", params={"page_size": 2, "sort": "-name", "after": first["after"]})[1]
        assert ([each["name"] for each in last["items"]], last["after"]) == (["all"], None)
        assert call("GET", at)[0] == 200
    finally:
        assert call("DELETE", at) == (204, None)
    assert call("GET", at)[0] == 404
    world.source()
    latest = next(each["id"] for each in call("GET", "/task_type/")[1]["items"] if each["name"] == "latest")
    assert call("DELETE", f"/task_type/{latest}") == (
        409,
        {"detail": "task type `latest` is used by schedules; only one that nothing uses is deleted"},
    )


def test_names_and_addresses_are_there_once(call):
    made = new_source(call)
    assert call("POST", "/source/", json=FEED) == (
        409,
        {"detail": f"source {made['id']} has the name `a feed` already"},
    )
    assert call("POST", "/source/", json={**FEED, "name": "b"})[0] == 409
    other = call("POST", "/source/", json={**FEED, "name": "b", "parser": "vk"})[1]
    assert call("PATCH", f"/source/{other['id']}", json={"parser": "rss"})[0] == 409
    assert call("PATCH", f"/source/{other['id']}", json={"name": "b"})[0] == 200


def test_what_is_due_is_created_and_sent(call, world):
    for number in range(3):
        world.source(f"feed {number}")
    world.source("a wall", parser="vk", due_at=NOON + 10)
    status, found = call("POST", "/task_group/")
    assert status == 201
    assert (found["tasks"], found["sent"], found["waiting"]) == (3, 3, "")
    [rss] = [each for each in found["created"] if each["tasks"]]
    assert (rss["parser"], rss["groups"], rss["skipped"]) == ("rss", [world.groups()[0]["id"]], [])
    assert {each["status"] for each in call("GET", "/task/")[1]["items"]} == {"queued"}
    assert call("POST", "/task_group/")[0] == 200
    [group] = call("GET", "/task_group/")[1]["items"]
    assert (group["total"], group["open"], group["status"], group["cause"]) == (3, 3, "open", "request")
    assert call("GET", f"/task_group/{group['id']}") == (200, group)


def test_some_sources_are_asked_at_once(call, world):
    one, two = world.source("feed 1", due_at=NOON + 99), world.source("feed 2", due_at=NOON + 99)
    off = world.source("feed 3")
    call("PATCH", f"/source/{off}", json={"active": False})
    wanted = {"source_ids": [one, off], "only_due": False}
    found = call("POST", "/task_group/", json=wanted)[1]
    assert (found["tasks"], found["skipped"]) == (1, [{"count": 1, "reason": "they are switched off"}])
    found = call("POST", "/task_group/", json={"source_ids": [one, two], "only_due": False})[1]
    [rss] = [each for each in found["created"] if each["parser"] == "rss"]
    assert (rss["tasks"], rss["skipped"]) == (
        1,
        [{"count": 1, "reason": "their last task of the type is still open"}],
    )
    assert call("POST", "/task_group/", json={"source_ids": [one], "task_type": "all"})[1]["tasks"] == 0


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"parser": "fax"}, "registered are `rss`, `vk`, `youtube`"),
        ({"task_type": "none"}, "there are `all`, `latest`"),
        ({"source_ids": [10**9]}, "there are no sources `1000000000`"),
        ({"source_ids": list(range(10**9, 10**9 + 10_000))}, "`1000000019`, … (10000 in all)"),
        ({"source_ids": [2**63]}, "less than or equal"),
        ({"source_ids": [-1]}, "greater than or equal"),
        ({"source_ids": ["x"]}, "valid integer"),
        ({"source_ids": [1] * 10_001}, "`source_ids`"),
        ({"only_dew": False}, "`only_dew`"),
    ],
)
def test_a_group_that_cannot_be_is_refused(call, wanted, said):
    status, found = call("POST", "/task_group/", json=wanted)
    assert (status, said in found["detail"]) == (422, True), found


def test_while_the_broker_is_away_tasks_stay_created(call, world, broker):
    world.source()
    broker.away = True
    status, found = call("POST", "/task_group/")
    assert (status, found["tasks"], found["sent"]) == (201, 1, 0)
    assert "stay `created`" in found["waiting"]
    assert world.statuses() == ["created"]
    broker.away, world.kafka.takes = False, 10
    assert call("POST", "/task_group/")[1]["sent"] == 1
    assert world.statuses() == ["queued"]


def test_without_a_broker_tasks_stay_created_too(call, world, settings):
    settings["kafka"] = KafkaSettings("")
    world.source()
    assert call("POST", "/task_group/")[1]["waiting"].startswith("No Kafka broker is named")
    assert call("POST", "/task_group/cancel_expired_task_group")[1] == {"cancelled": 0, "held_back": ""}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_late_is_cancelled(call, client, world, broker, method):
    world.queued(2)
    world.now += 601
    broker.away = True
    found = call(method, "/task_group/cancel_expired_task_group")[1]
    assert (found["cancelled"], "does not answer" in found["held_back"]) == (0, True)
    broker.away = False
    assert client.request(method, EXPIRE, headers=VIEWER).status_code == 403
    assert client.request(method, EXPIRE + "/", headers=VIEWER).status_code == 403
    assert world.statuses() == ["queued", "queued"]
    assert call(method, "/task_group/cancel_expired_task_group") == (200, {"cancelled": 2, "held_back": ""})
    assert {each["late"] for each in call("GET", "/task/")[1]["items"]} == {True}


def test_what_a_worker_may_have_said_is_heard_before_its_task_is_late(call, world, broker):
    world.queued()
    world.now += 601
    broker.oldest_unread_at = world.now - 5
    found = call("POST", "/task_group/cancel_expired_task_group")[1]
    assert (found["cancelled"], "wait to be read" in found["held_back"]) == (0, True)


@pytest.mark.parametrize("headers", [{"cookie": "user=admin"}, {**OWN_FORM, "sec-fetch-site": "cross-site"}])
def test_a_link_on_another_site_cancels_nothing(app, served, headers):  # noqa: F811
    client = served(**{"parser-manager": app})
    for path in (EXPIRE, f"{EXPIRE}/"):
        assert client.get(path, headers=headers).status_code == 403
        assert client.head(path, headers=headers).status_code == 403


def test_a_task_is_cancelled_and_tried_again(call, world):
    [task] = world.queued()
    status, found = call("POST", f"/task/{task}/cancel")
    assert (status, found["status"], found["reason"]) == (200, "cancelled", "cancelled by a person")
    assert found["actions"] == ["retry"]
    assert call("POST", f"/task/{task}/cancel") == (
        409,
        {"detail": "the task is `cancelled`; cancel is for `created`, `queued`, `in_progress`"},
    )
    status, found = call("POST", f"/task/{task}/retry")
    new = found["task"]
    assert (status, new["status"], new["attempt"], new["retry_of"]) == (201, "queued", 2, str(task))
    assert (found["sent"], found["waiting"]) == (1, "")
    assert call("POST", f"/task/{task}/retry") == (409, {"detail": "the source has an open task of this type"})
    status, found = call("GET", f"/task/{task}")
    assert (status, found["tries"]) == (200, [str(task), new["id"]])
    assert [(each["status"], each["actor"]) for each in found["events"]] == [
        ("cancelled", "admin"),
        ("cancelled", "admin"),
    ]


@pytest.mark.parametrize("action", ["cancel", "retry"])
def test_there_is_no_such_task(call, action):
    assert call("POST", f"/task/{NOBODY}/{action}") == (404, {"detail": f"there is no task {NOBODY}"})
    assert call("GET", f"/task/{NOBODY}")[0] == 404


def test_many_are_cancelled_with_a_result_each(call, world):
    one, two, three = world.queued(3)
    world.apply(world.report(two, Status.DONE))
    status, found = call("POST", "/task/cancel", json={"ids": [str(one), str(two), NOBODY]})
    assert (status, found["done"], found["refused"]) == (200, 1, 2)
    said = {each["id"]: each["refused"] for each in found["results"]}
    assert said[str(one)] == ""
    assert said[str(two)].startswith("the task is `done`")
    assert said[NOBODY] == "there is no such task"
    found = call("POST", "/task/cancel", json={"filter": {"parser": "rss"}})[1]
    assert (found["done"], found["refused"], found["after"]) == (1, 0, None)
    assert [each["id"] for each in found["results"]] == [str(three)]
    assert call("POST", "/task/cancel", json={"filter": {"status": ["done"]}})[1]["results"] == []
    world.check_counts()


def test_all_of_a_filter_are_tried_again_and_sent(call, world):
    made = world.queued(3)
    world.apply(*(world.report(each, Status.FAILED, error="it broke") for each in made))
    found = call("POST", "/task/retry", json={"filter": {"status": ["failed"]}})[1]
    assert (found["done"], found["sent"], found["waiting"]) == (3, 3, "")
    assert {UUID(each["new_id"]) for each in found["results"]} == {row["id"] for row in world.tasks()[3:]}


@pytest.mark.parametrize("action", ["cancel", "retry"])
def test_of_more_than_one_request_takes_the_rest_comes_by_the_next(call, world, monkeypatch, action):
    made = world.queued(5)
    if action == "retry":
        world.apply(*(world.report(each, Status.FAILED) for each in made))
    monkeypatch.setattr("include.parser_tasks.service.MOST_IDS", 2)
    monkeypatch.setattr("include.parser_tasks.service.BATCH", 1)
    taken, after = [], None
    while True:
        found = call("POST", f"/task/{action}", json={"filter": {}, "after": after})[1]
        assert (found["done"], found["refused"]) == (len(found["results"]), 0)
        taken += [UUID(each["id"]) for each in found["results"]]
        if not (after := found["after"]):
            break
    assert taken == made[::-1]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"ids": []},
        {"ids": [NOBODY], "filter": {}},
        {"ids": [NOBODY], "after": NOBODY},
        {"filter": {}, "after": "x"},
        {"ids": ["x"]},
        {"ids": [NOBODY] * 10_001},
        {"filter": {"staus": ["failed"]}},
        {"filter": {"status": "lost"}},
        {"filter": {"worker": "\0"}},
        {"filter": {"source_id": 2**63}},
        {"filter": {"created_from": "yesterday"}},
    ],
)
@pytest.mark.parametrize("action", ["cancel", "retry"])
def test_a_bulk_that_says_not_what_is_meant_does_nothing(call, body, action):
    status, found = call("POST", f"/task/{action}", json=body)
    assert (status, bool(found["detail"])) == (422, True)


def test_what_workers_said_in_vain_is_listed_with_the_reason(call, world):
    [task] = world.queued()
    world.apply(
        world.report(task, Status.DONE),
        world.report(task, Status.DONE),
        world.report(UUID(NOBODY), Status.DONE),
        world.message(b"{"),
        world.report(UUID(NOBODY), Status.FAILED),
    )
    listed = call("GET", "/refused_message/")[1]
    assert [(each["refused"], each["task_id"]) for each in listed["items"]] == [
        ("unknown task", NOBODY),
        ("unreadable", None),
        ("unknown task", NOBODY),
        ("duplicate", str(task)),
    ]
    unknown = "/refused_message/?refused=unknown+task"
    first = call("GET", f"{unknown}&page_size=1")[1]
    assert (first["total"], first["items"][0]["status"], first["items"][0]["offset"]) == (2, "failed", 5)
    [second] = call("GET", f"{unknown}&after={first['after']}")[1]["items"]
    assert (second["status"], second["detail"]) == ("done", f"no task has the id `{NOBODY}`")
    assert call("GET", "/refused_message/?refused=unreadable&refused=duplicate")[1]["total"] == 2
    assert call("GET", "/refused_message/?refused=lost")[0] == 422


def test_tasks_of_a_deleted_source_are_found_by_its_name(call, world):
    one, two = world.queued(2)
    call("DELETE", f"/source/{world.tasks()[0]['source_id']}")
    gone = next(each for each in world.tasks() if each["source_id"] is None)
    for asked, found in ((gone["source_name"], [gone["id"]]), ("FEED", [two, one]), ("wall", [])):
        listed = call("GET", "/task/", params={"source": asked})[1]
        assert ([UUID(each["id"]) for each in listed["items"]], listed["total"]) == (found, len(found))
    assert call("GET", "/task/?source=feed&status=cancelled")[1]["total"] == 1


def test_lists_go_on_where_the_page_before_ended(call, world, settings):
    made = world.queued(5)
    settings["page_size"] = 2
    found, after = [], None
    while True:
        listed = call("GET", "/task/", params={"after": after} if after else {})[1]
        assert (listed["total"], listed["is_more"]) == (5, False)
        found += [UUID(each["id"]) for each in listed["items"]]
        if not (after := listed["after"]):
            break
    assert found == made[::-1]
    listed = call("GET", "/task/", params={"sort": "id", "page_size": 5})[1]
    assert [UUID(each["id"]) for each in listed["items"]] == made


def test_lists_are_filtered(call, world):
    one = world.queued(2)[0]
    world.apply(world.report(one, Status.FAILED, error="it broke"))
    for query, count in (
        ("status=failed", 1),
        ("status=failed&status=queued", 2),
        ("status=done", 0),
        ("has_error=true", 1),
        ("late=true", 0),
        ("worker=worker%3A1", 1),
        ("created_from=2025-11-26T12:00:00Z&created_to=2125-11-26T12:00:00Z", 2),
        ("created_from=2025-11-26T12:00:01Z", 0),
        (f"source_id={world.tasks()[0]['source_id']}", 1),
        (f"group_id={world.groups()[0]['id']}", 2),
    ):
        assert len(call("GET", f"/task/?{query}")[1]["items"]) == count, query
    assert len(call("GET", "/source/?text=feed+1")[1]["items"]) == 1
    assert len(call("GET", "/source/?failing=true")[1]["items"]) == 1
    assert len(call("GET", "/source_task_type/?task_type=latest&parser=rss&active=true")[1]["items"]) == 2
    assert len(call("GET", "/task_group/?status=open&cause=schedule&parser=rss")[1]["items"]) == 1


@pytest.mark.parametrize(
    "query",
    [
        "page_size=0",
        "page_size=1001",
        "page_size=x",
        "after=x",
        "after=%00",
        f"after={'a' * 3000}",
        "sort=colour",
        "colour=red",
    ],
)
@pytest.mark.parametrize("listed", ["source", "source_task_type", "task_group", "task", "task_type", "refused_message"])
def test_a_list_that_cannot_be_is_refused(call, listed, query):
    status, found = call("GET", f"/{listed}/?{query}")
    assert (status, bool(found["detail"])) == (422, True)


@pytest.mark.parametrize(
    ("sort", "value"),
    [
        ("name", "\0"),
        ("name", "\ud800"),
        ("name", 7),
        ("created_at", 10**400),
        ("id", 2**63),
        ("failures", True),
        ("failures", 1.5),
    ],
)
def test_a_cursor_that_nobody_gave_is_refused(call, sort, value):
    status, found = call("GET", "/source/", params={"sort": sort, "after": cursor(sort, value, 1)})
    assert (status, "no cursor of this list" in found["detail"]) == (422, True)


@pytest.mark.parametrize("type_of_body", ["text/plain", "application/x-www-form-urlencoded", "application/xml", None])
def test_a_body_that_is_not_said_to_be_json_is_refused(client, world, type_of_body):
    world.source()
    headers = {"content-type": type_of_body} if type_of_body else {}
    for path, body in (("/source/", b'{"name": "x"}'), ("/task_group/", b'{"only_due": true}')):
        answer = client.post(ROOT + path, content=body, headers=headers)
        assert (answer.status_code, answer.json()) == (
            422,
            {"detail": "the body is no JSON object; send one, with `Content-Type: application/json`"},
        )
    assert world.tasks() == []


def test_a_refusal_says_which_value_it_refuses(call):
    status, found = call("GET", "/task/?page_size=0&status=lost")
    assert (status, found["detail"]) == (
        422,
        "`status.0`: Input should be 'created', 'queued', 'in_progress', 'done', 'failed' or 'cancelled'; "
        "it is `lost`; `page_size`: Input should be greater than or equal to 1; it is `0`",
    )


@pytest.mark.parametrize(
    "query",
    [
        "status=lost",
        "worker=%00",
        "parser=%00",
        "task_type=%00",
        "source_id=0",
        "source_id=9223372036854775808",
        f"source_id={'9' * 5000}",
        "group_id=-1",
        "group_id=x",
        "late=perhaps",
        "created_from=yesterday",
        "created_from=2026-01-01",
        "created_to=99999-01-01T00:00:00Z",
    ],
)
def test_a_filter_that_cannot_be_is_refused(call, query):
    assert call("GET", f"/task/?{query}")[0] == 422


def test_a_filter_at_the_edge_of_what_can_be_finds_nothing(call, world):
    world.queued()
    for query in (
        "source_id=9223372036854775807",
        "group_id=9223372036854775807",
        "created_from=9999-12-31T23:59:59Z",
        "created_to=0001-01-01T00:00:00Z",
        "worker=%27%3B--",
        "parser=%F0%9F%9A%80",
    ):
        assert call("GET", f"/task/?{query}") == (200, {"items": [], "after": None, "total": 0, "is_more": False})


@pytest.mark.parametrize("bad", ["0", "-1", "9223372036854775808", "9" * 5000, "x", "1.5", "%00", "1e3"])
@pytest.mark.parametrize("of", ["source", "task_type", "source_task_type", "task_group"])
def test_an_id_that_cannot_be_is_refused(call, of, bad):
    for method in ("GET", "PATCH", "DELETE") if of != "task_group" else ("GET",):
        assert call(method, f"/{of}/{bad}", **({"json": {}} if method == "PATCH" else {}))[0] == 422


@pytest.mark.parametrize("bad", ["1", "x", "-", f"{NOBODY}0", "%00"])
def test_a_task_id_that_is_none_is_refused(call, bad):
    assert call("GET", f"/task/{bad}")[0] == 422
    assert call("POST", f"/task/{bad}/cancel")[0] == call("POST", f"/task/{bad}/retry")[0] == 422


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/task/"),
        ("PUT", f"/task/{NOBODY}"),
        ("PATCH", f"/task/{NOBODY}"),
        ("DELETE", f"/task/{NOBODY}"),
        ("PUT", "/task_group/1"),
        ("PATCH", "/task_group/1"),
        ("DELETE", "/task_group/1"),
    ],
)
def test_what_is_not_possible_says_what_is(call, method, path):
    status, found = call(method, path, json={})
    assert (status, "`POST /task" in found["detail"] or "counts" in found["detail"]) == (405, True)


def test_the_dictionary(call):
    status, found = call("GET", "/dictionary/")
    assert (status, [each["name"] for each in found["parsers"]]) == (200, ["rss", "vk", "youtube"])
    assert [each["name"] for each in found["task_types"]] == ["all", "latest"]
    statuses = {each["name"]: each for each in found["statuses"]}
    assert statuses["queued"] == {"name": "queued", "open": True, "actions": ["cancel"]}
    assert (statuses["done"]["actions"], statuses["failed"]["actions"]) == ([], ["retry"])
    assert "expired" in found["reasons"]
    for name, values in found.items():
        assert call("GET", f"/dictionary/{name}") == (200, values)
    assert call("GET", "/dictionary/none")[0] == 404


def test_every_address_answers_with_a_slash_at_its_end_and_without(client, app):
    found = {(method, path) for method, path in paths(app, "") if path.startswith("/api/v1/")}
    other = {(m, path.removesuffix("/") if path.endswith("/") else f"{path}/") for m, path in found}
    assert found == other
    for path in ("/source", "/source/", "/dictionary", "/task_group/", "/task"):
        assert client.get(ROOT + path, follow_redirects=False).status_code == 200


def test_no_route_answers_without_a_login_and_none_changes_for_a_viewer(app, served, world):  # noqa: F811
    client = served(**{"parser-manager": app})
    routes = list(undocumented(paths(app, "/headrace/parser-manager")))
    assert len(routes) > 60
    assert answered(client, routes) == answered(client, routes, STRANGER) == {}
    changing = [each for each in routes if each.method in CHANGING or "cancel_expired" in each.url]
    assert answered(client, changing, VIEWER) == {}
    assert client.get(f"{ROOT}/task/", headers=VIEWER).status_code == 200


def test_the_schema_names_every_route_and_what_it_says_is_so(client, app, world):
    world.source()
    document = client.get("/headrace/parser-manager/openapi.json").json()
    found = list(documented(document, "/headrace/parser-manager"))
    assert len(found) > 30
    # The other tests need the types of tasks as they are.
    tried = [each for each in found if each.method == "GET" or "/task_type/" not in each.url]
    statuses = answered(client, tried, ADMIN)
    assert {name: status for name, status in statuses.items() if status >= 500} == {}
    assert len(statuses) == len(tried)


def test_the_schema_says_how_errors_look_and_its_examples_are_taken(client, world):
    source = world.source()
    document = client.get("/headrace/parser-manager/openapi.json").json()
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorJson"}}}
    operations = [
        (method.upper(), path, each)
        for path, methods in document["paths"].items()
        if path.startswith("/api/v1/")
        for method, each in methods.items()
    ]
    assert len(operations) > 30
    assert "HTTPValidationError" not in document["components"]["schemas"]
    tried = 0
    for method, path, operation in operations:
        errors = {status: each["content"] for status, each in operation["responses"].items() if status >= "400"}
        assert {"401", "403", "422", "503"} <= set(errors)
        assert list(errors.values()) == [error] * len(errors)
        schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        [ref] = [each["$ref"] for each in (schema, *schema.get("anyOf", ())) if "$ref" in each] or [""]
        examples = document["components"]["schemas"].get(ref.rpartition("/")[2], {}).get("examples", [])
        if method == "POST" and examples:
            [example] = examples
            example = {**example, **({"source_id": source} if "source_id" in example else {})}
            answer = client.post(f"/headrace/parser-manager{path}", json=example)
            assert answer.status_code in (200, 201), (path, answer.text)
            assert str(answer.status_code) in operation["responses"]
            tried += 1
            if path == "/api/v1/task_type/":
                client.delete(f"{ROOT}/task_type/{answer.json()['id']}")
    assert tried == 6


def test_the_database_is_away(client, app, service, tmp_path):
    from include.common.database import new_engine

    service.engine = lambda: new_engine(f"sqlite:///{tmp_path}/none/x.db")
    answer = client.get(f"{ROOT}/task/")
    assert answer.status_code in (500, 503)
    assert "HEADRACE_DATABASE_URL" in answer.json()["detail"]


def test_the_topics_of_the_broker_are_asked_now_and_then(service, broker, world):
    found = service.topics()
    assert [(each.parser, dict(each.groups)) for each in found.topics] == [
        ("rss", {"rss_parsers": 3}),
        ("vk", {"vk_parsers": 3}),
        ("youtube", {"youtube_parsers": 3}),
        ("", {"parser_manager": 3}),
    ]
    broker.away = True
    assert service.topics() is found
    world.now += 6
    assert service.topics().trouble == "Kafka at `kafka:9092` does not answer"
    assert [dict(each.oldest) for each in found.topics] == [{}] * 4
    assert broker.closed == 2
    broker.away, broker.oldest_unread_at, world.now = False, NOON - 60, world.now + 6
    assert [set(each.oldest.values()) for each in service.topics().topics] == [{NOON - 60}] * 4

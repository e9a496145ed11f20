"""The pages of the parser tasks: what people see and do, over a database and a broker in memory."""

import re
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

import pytest

from include.common.errors import TransientError
from include.parser_tasks import expiry, pages, tables
from include.parser_tasks.broker_admin import Backlog
from include.parser_tasks.chart import draw
from include.parser_tasks.models import Status
from include.parser_tasks.service import Service
from include.parser_tasks.settings import KafkaSettings, Settings
from include.parser_tasks.views import Bucket
from include.web.app import build_app
from include.web.pages import Pages, Tab
from tests.html import parse, text_of
from tests.unit.parser_tasks.conftest import NOON
from tests.unit.web.conftest import ACCESS, ADMIN, VIEWER, served  # noqa: F401 (fixture)

TAB = Tab("Parser tasks", "/parser-manager")
HERE = "/headrace/parser-manager"
HTMX = {**ADMIN, "hx-request": "true"}
NOBODY = "00000000-0000-7000-8000-000000000000"
MARKUP = "<img src=x onerror=alert(1)>"
READ = (
    "/",
    "/backlog",
    "/chart",
    "/tasks",
    "/tasks/all/cancel",
    "/tasks/all/retry",
    "/groups",
    "/errors",
    "/errors/messages",
    "/sources",
    "/sources/new",
    "/preview?schedule=15+minutes",
)
NEW = {"name": "a feed", "parser": "rss", "address": "https://a.example/rss", "settings": '{"n": 2}', "active": "on"}
OFTEN = {"task_type": "latest", "schedule": "15 minutes", "deadline": "10 minutes", "priority": "1", "active": "on"}


class Broker:
    """What is asked of the brokers; `away` says that there are none."""

    def __init__(self):
        self.away = False

    def groups_of(self, topic, known=()):
        if self.away:
            raise TransientError("Kafka at `kafka:9092` did not answer")
        return dict.fromkeys(known, 1234)

    def backlog(self, group, topic):
        return Backlog(1234, NOON - 60)

    def close(self):
        pass


@pytest.fixture
def broker():
    return Broker()


@pytest.fixture(scope="module")
def app(current):
    shown = Pages(TAB, (TAB,), Path(pages.__file__).with_name("templates"))
    app = build_app(shown, ACCESS)
    app.include_router(pages.router(shown, current, str))
    return app


@pytest.fixture
def client(app, current, served, world, broker, monkeypatch):  # noqa: F811
    monkeypatch.setattr(type(world.kafka), "close", lambda self: None, raising=False)
    settings = Settings(KafkaSettings("kafka:9092", demo=True))
    current.service = Service(
        lambda: world.engine, lambda: settings, lambda kafka: world.kafka, lambda kafka, seconds: broker, world.clock
    )
    return served(**{"parser-manager": app})


def page(client, path, headers=ADMIN, status=200):
    answer = client.get(HERE + path, headers=headers)
    assert answer.status_code == status, answer.text
    return parse(answer.text)


def send(client, path, data=None, status=204, headers=HTMX):
    answer = client.post(HERE + path, data=data or {}, headers=headers)
    assert answer.status_code == status, answer.text
    return answer


def rows(tree):
    """The texts of a table's rows."""
    return [[text_of(cell) for cell in row] for row in tree.findall(".//tbody/tr")]


def facts(tree):
    return {text_of(one.find("dt")): text_of(one.find("dd")) for one in tree.findall(".//dl/div")}


@pytest.mark.parametrize("path", READ)
@pytest.mark.parametrize("kind", ["empty", "full"])
def test_every_page_can_be_read_and_has_nothing_inline(client, world, path, kind):
    if kind == "full":
        done, failed, _late = world.queued(3)
        world.apply(world.report(done, Status.DONE), world.report(failed, Status.FAILED, error=MARKUP))
    for headers in (ADMIN, VIEWER, HTMX):
        tree = page(client, path, headers)
        for element in tree.iter():
            assert not {name for name in element.attrib if name == "style" or name.startswith(("on", "hx-on"))}
            assert "[" not in element.get("hx-trigger", "")


@pytest.mark.parametrize("path", [path for path in READ if path not in ("/preview?schedule=15+minutes",)])
def test_a_viewer_sees_everything_and_can_press_nothing(client, world, path):
    world.queued()
    for button in page(client, path, VIEWER).findall(".//button"):
        closes = button.get("form") == "leave" or text_of(button) in ("Leave it", "Close")
        assert closes or "disabled" in button.attrib, text_of(button)


def test_a_viewer_changes_nothing(client, world):
    task = world.queued()[0]
    for path in (f"/tasks/{task}/cancel", "/tasks/all/cancel", "/sources", "/groups", "/sources/1/delete"):
        send(client, path, status=403, headers={**VIEWER, "hx-request": "true"})
    assert world.statuses() == ["queued"]


def test_an_empty_page_says_what_to_do_first(client):
    for path in ("/", "/tasks", "/groups", "/errors", "/sources"):
        tree = page(client, path)
        assert text_of(tree.find(".//*[@id='first-step']/h2")) == "No source yet", path
        assert tree.find(".//button[@id='first-source']").get("hx-get") == f"{HERE}/sources/new"


def test_the_overview_refreshes_by_itself_and_says_demo(client, world):
    world.queued(2)
    tree = page(client, "/")
    assert text_of(tree.find(".//main/nav/span[@class='badge demo']")) == "demo"
    for part in ("backlog", "chart"):
        element = tree.find(f".//section[@id='{part}']")
        assert element.get("hx-trigger").startswith("every 5s")
        assert parse(client.get(element.get("hx-get"), headers=HTMX).text).find(f".//section[@id='{part}']") is not None


def test_the_backlog_has_the_lag_of_each_group_and_the_tasks_of_each_parser(client, world):
    world.queued(2)
    found = rows(page(client, "/backlog", HTMX))
    oldest = "2025-11-26 11:59 UTC"
    assert found[0] == ["Tasks for rss rss_parser_tasks, read by rss_parsers", "1,234", oldest, "0", "2", "0"]
    assert found[-1][:2] == ["What workers report task_statuses, read by parser_manager", "1,234"]


def test_a_broker_that_is_away_is_a_sentence_and_the_rest_stays(client, world, broker):
    broker.away = True
    world.queued()
    tree = page(client, "/backlog", HTMX)
    assert "Kafka at `kafka:9092` did not answer" in text_of(tree.find(".//p[@class='need']"))
    unknown = ["unknown"] * 2
    assert rows(tree)[0] == ["Tasks for rss rss_parser_tasks, read by rss_parsers", *unknown, "0", "1", "0"]


def test_the_chart_has_a_sentence_and_a_table_for_those_who_do_not_see_it(client, world):
    done, failed = world.queued(2)
    world.apply(world.report(done, Status.DONE), world.report(failed, Status.FAILED))
    tree = page(client, "/chart", HTMX)
    drawing = tree.find(".//svg[@role='img']")
    told = "Tasks created in the last 24 hours, by what became of them: 1 done, 1 failed."
    assert drawing.get("aria-label") == told
    table = tree.find(".//div[@class='visually-hidden']/table")
    assert [text_of(cell) for cell in table.findall("./thead/tr/th")] == ["From, UTC", "done", "failed"]
    assert len(table.findall("./tbody/tr")) == 48


def test_a_chart_is_as_high_as_the_next_round_number_and_shows_the_smallest_count():
    chart = draw([Bucket(NOON, 1800, 1700, 1699, 1), Bucket(NOON + 1800, 1800)])
    assert chart.top == 2000
    assert [(bar.kind, bar.height) for bar in chart.columns[0].bars] == [("done", 84.95), ("failed", 1.0)]
    assert chart.columns[1].bars == []
    assert chart.columns[0].sentence == "from 12:00 UTC: 1,699 done, 1 failed"


def test_tasks_are_filtered_by_what_the_address_says(client, world):
    done, failed, _ = world.queued(3)
    world.apply(world.report(done, Status.DONE), world.report(failed, Status.FAILED, error="no feed"))

    def names(query, part="/tasks"):
        return [row[0] for row in rows(page(client, f"{part}?{query}", HTMX)) if len(row) > 1]

    assert names("") == ["feed 2", "feed 1", "feed 0"]
    assert names("status=open") == ["feed 2"]
    assert names("status=failed") == ["feed 1"]
    assert names("source=FEED+1") == ["feed 1"]
    assert names("parser=vk") == []
    assert names("task_type=all") == []
    assert names("late=true") == []
    group = world.groups()[0]["id"]
    assert names(f"group_id={group}&status=done") == ["feed 0"]
    world.now += 3600
    assert names("late=true") == ["feed 2"]
    expiry.cancel_expired(world.engine, world.now, world.now)
    assert names("late=true") == ["feed 2"]
    assert names("", "/errors") == ["feed 2", "feed 1"]
    assert names("status=failed", "/errors") == ["feed 1"]
    assert names("status=cancelled", "/errors") == ["feed 2"]


def test_a_time_filter_is_in_utc(client, world):
    world.queued()
    assert len(rows(page(client, "/tasks?since=2025-11-26T12:00", HTMX))[0]) == 8
    assert "No task matches." in text_of(page(client, "/tasks?since=2025-11-26T12:01", HTMX))


def test_what_cannot_be_retried_is_said_and_cannot_be_pressed(client, world):
    world.queued()
    dialog = page(client, "/tasks/all/retry", HTMX)
    assert text_of(dialog.find(".//h2")) == "There is nothing to retry"
    assert "1 task match; none of them can be retried" in text_of(dialog)
    assert "disabled" in dialog.find(".//button[@id='confirm']").attrib


def test_of_all_that_match_those_are_taken_whose_status_allows_it(client, world):
    done, failed, _open = world.queued(3)
    world.apply(world.report(done, Status.DONE), world.report(failed, Status.FAILED))
    tree = parse(send(client, "/tasks/all/retry", status=200).text)
    assert text_of(tree.find(".//h2")) == "1 of 1 retried"
    assert [row[0] for row in rows(tree)] == ["feed 1"]
    nothing = parse(send(client, "/tasks/all/retry?status=done", status=200).text)
    assert text_of(nothing.find(".//h2")) == "0 of 0 retried"


def test_a_tasks_history_begins_with_its_creation_and_says_what_it_waits_for(client, world):
    task = world.queued()[0]
    found = rows(page(client, f"/tasks/{task}", HTMX))
    assert [row[1] for row in found] == ["created attempt 1", "queued attempt 1"]
    assert found[1][3] == "Kafka has it; it waits for a worker"
    world.apply(world.report(task, Status.DONE, statistics={"items": 1234, "result": "a/b.jsonl"}))
    tree = page(client, f"/tasks/{task}", HTMX)
    assert [row[1] for row in rows(tree)] == ["created attempt 1", "queued attempt 1", "done attempt 1"]
    assert (facts(tree)["items"], facts(tree)["result"]) == ("1,234", "a/b.jsonl")


def test_a_task_whose_source_was_deleted_says_so_and_is_not_retried(client, world):
    task = world.queued()[0]
    send(client, f"/sources/{world.tasks()[0]['source_id']}/delete")
    tree = page(client, f"/tasks/{task}", HTMX)
    assert facts(tree)["Source"] == "feed 0 (deleted)"
    assert (facts(tree)["Begun"], facts(tree)["Worker"]) == ("never", "none")
    assert "disabled" in tree.find(".//button[@id='retry']").attrib


def test_lists_have_newer_and_older_pages(client, world):
    world.queued(120)
    first = page(client, "/tasks", HTMX)
    assert text_of(first.find(".//nav[@class='pager']/span")) == "50 of 120 tasks"
    assert first.find(".//a[@id='newer']") is None
    second = parse(client.get(first.find(".//a[@id='older']").get("href"), headers=HTMX).text)
    third = parse(client.get(second.find(".//a[@id='older']").get("href"), headers=HTMX).text)
    assert third.find(".//a[@id='older']") is None
    assert len(rows(third)) == 20
    back = parse(client.get(third.find(".//a[@id='newer']").get("href"), headers=HTMX).text)
    assert rows(back) == rows(second)
    top = parse(client.get(back.find(".//a[@id='newer']").get("href"), headers=HTMX).text)
    assert rows(top) == rows(first)
    assert top.find(".//a[@id='newer']") is None
    sources = page(client, "/sources", HTMX)
    assert text_of(sources.find(".//nav[@class='pager']/span")) == "50 of 120 sources"


def test_a_task_has_its_history_and_what_was_refused(client, world):
    task = world.queued()[0]
    world.apply(world.report(task, Status.FAILED, error=MARKUP), world.report(task, Status.IN_PROGRESS))
    tree = page(client, f"/tasks/{task}")
    assert tree.find(".//img") is None
    assert MARKUP in text_of(tree.find(".//section[@id='task']"))
    assert facts(tree)["In Kafka"] == "rss_parser_tasks, partition 0, offset 0"
    assert facts(tree)["Created"] == "2025-11-26 12:00:00 UTC"
    history = rows(tree)
    assert "Refused, task has ended" in history[-1][3]
    assert history[-1][2] == "worker:1"
    assert history[-1][4] == "partition 0, offset 2"
    enabled = [button.get("id") for button in tree.findall(".//button") if "disabled" not in button.attrib]
    assert enabled == ["retry"]


def test_a_task_is_cancelled_and_tried_again_and_the_tries_link_to_each_other(client, world):
    task = world.queued()[0]
    assert text_of(page(client, f"/tasks/{task}/cancel", HTMX).find(".//h2")) == "Cancel this task?"
    answer = send(client, f"/tasks/{task}/cancel")
    assert "rowsChanged" in answer.headers["hx-trigger"]
    assert world.events()[-1]["actor"] == "admin"
    again = send(client, f"/tasks/{task}/retry").headers["hx-redirect"]
    new = again.rpartition("/")[2]
    assert page(client, f"/tasks/{task}").find(f".//a[@id='retry-{new}']").get("href") == again
    assert page(client, f"/tasks/{new}").find(".//a[@id='retry-of']").get("href") == f"{HERE}/tasks/{task}"
    assert world.statuses() == ["cancelled", "queued"]


def test_what_a_status_does_not_allow_is_refused_and_the_page_told(client, world):
    task = world.queued()[0]
    world.apply(world.report(task, Status.DONE))
    assert "disabled" in page(client, f"/tasks/{task}/cancel", HTMX).find(".//button[@id='confirm']").attrib
    answer = send(client, f"/tasks/{task}/cancel", status=409)
    assert "the task is `done`" in answer.text
    assert "closeDialog" in answer.headers["hx-trigger"]


def test_all_that_match_are_tried_again_with_a_result_each(client, world):
    ids = world.queued(3)
    world.apply(*(world.report(each, Status.FAILED, error="no feed") for each in ids))
    send(client, f"/tasks/{ids[0]}/retry")
    dialog = page(client, "/tasks/all/retry?status=failed", HTMX)
    assert "3 tasks match; 3 of them can be retried." in text_of(dialog)
    tree = parse(send(client, "/tasks/all/retry?status=failed", status=200).text)
    assert text_of(tree.find(".//h2")) == "2 of 3 retried"
    found = rows(tree)
    assert found[0] == ["feed 0", "Not done: the source has an open task of this type"]
    assert [row[1] for row in found[1:]] == ["retried as a new task"] * 2
    assert world.statuses() == ["failed"] * 3 + ["queued"] * 3


def test_what_is_not_shown_of_a_bulk_is_not_said_to_have_gone_well(client, world, monkeypatch):
    monkeypatch.setattr("include.parser_tasks.task_pages.RESULTS", 1)
    ids = world.queued(4)
    world.apply(*(world.report(each, Status.FAILED) for each in ids))
    for each in ids[:2]:
        send(client, f"/tasks/{each}/retry")
    shown = text_of(parse(send(client, "/tasks/all/retry?status=failed", status=200).text))
    assert "2 of 4 retried" in shown
    assert "Not done, 2 times: the source has an open task of this type." in shown
    assert "3 more are not shown here: 1 of them were not done either." in shown
    shown = text_of(parse(send(client, "/tasks/all/cancel?status=open", status=200).text))
    assert "3 more are not shown here: all of them went well." in shown


def test_the_rest_of_a_bulk_is_gone_on_with(client, world, monkeypatch):
    monkeypatch.setattr("include.parser_tasks.service.MOST_IDS", 2)
    world.apply(*(world.report(each, Status.FAILED) for each in world.queued(3)))
    tree = parse(send(client, "/tasks/all/retry", status=200).text)
    assert [row[0] for row in rows(tree)] == ["feed 2", "feed 1"]
    rest = tree.find(".//button[@id='rest']").get("hx-post")
    tree = parse(send(client, rest.removeprefix(HERE), status=200).text)
    assert [row[0] for row in rows(tree)] == ["feed 0"]
    assert tree.find(".//button[@id='rest']") is None
    assert world.statuses() == ["failed"] * 3 + ["queued"] * 3


def test_a_bulk_leaves_alone_what_it_is_not_for(client, world):
    world.apply(world.report(world.queued(2)[0], Status.DONE))
    dialog = page(client, "/tasks/all/cancel", HTMX)
    assert "2 tasks match; 1 of them can be cancelled." in text_of(dialog)
    tree = parse(send(client, "/tasks/all/cancel", status=200).text)
    assert text_of(tree.find(".//h2")) == "1 of 1 cancelled"
    assert rows(tree) == [["feed 1", "cancelled"]]


def test_messages_that_were_refused_are_a_part_of_the_errors(client, world):
    [task] = world.queued()
    world.apply(
        world.report(UUID(NOBODY), Status.DONE), world.message(MARKUP.encode()), world.report(task, Status.DONE, 2)
    )
    world.apply(world.report(task, Status.DONE), world.report(task, Status.DONE))
    there = page(client, "/errors").find(".//a[@id='refused-messages']").get("href").removeprefix(HERE)
    tree = page(client, there)
    assert [row[1:3] for row in rows(tree)] == [
        ["unknown attempt", str(task)],
        ["unreadable", "unknown"],
        ["unknown task", NOBODY],
    ]
    assert tree.find(f".//a[@href='{HERE}/tasks/{task}']") is not None
    assert tree.find(f".//a[@href='{HERE}/tasks/{NOBODY}']") is None
    assert [row[1] for row in rows(page(client, f"{there}?reason=duplicate", HTMX))] == ["duplicate"]
    assert "No message was refused for that." in text_of(page(client, f"{there}?reason=too+large"))
    assert client.get(f"{HERE}{there}?reason=lost", headers=ADMIN).status_code == 422


def test_a_deleted_source_is_found_by_its_name(client, world):
    world.queued(2)
    source = next(each["source_id"] for each in world.tasks() if each["source_name"] == "feed 1")
    send(client, f"/sources/{source}/delete")
    assert [row[0] for row in rows(page(client, "/tasks?source=feed+1"))] == ["feed 1"]


def test_only_what_matches_is_cancelled(client, world):
    world.queued(3)
    tree = parse(send(client, "/tasks/all/cancel?source=feed+1", status=200).text)
    assert rows(tree) == [["feed 1", "cancelled"]]
    assert world.statuses() == ["queued", "cancelled", "queued"]
    dialog = page(client, "/tasks/all/cancel?source=feed+1", HTMX)
    assert "disabled" in dialog.find(".//button[@id='confirm']").attrib


def test_groups_have_their_counts_and_lead_to_their_tasks(client, world):
    done, failed = world.queued(2)
    world.apply(world.report(done, Status.DONE), world.report(failed, Status.FAILED))
    tree = page(client, "/groups")
    group = world.groups()[0]["id"]
    assert rows(tree)[0][:8] == [str(group), "rss, latest", "the schedule", "2", "1", "1", "0", "0"]
    assert tree.find(f".//a[@id='failed-{group}']").get("href") == f"{HERE}/tasks?group_id={group}&status=failed"
    assert f"group {group}: rss, latest" in text_of(page(client, f"/tasks?group_id={group}").find(".//h1"))
    assert "No group matches." in text_of(page(client, "/groups?status=open", HTMX))


def test_what_is_due_is_created_on_demand(client, world):
    world.source()
    answer = send(client, "/groups", status=200)
    assert "1 task was created" in answer.text
    assert answer.headers["hx-retarget"] == "#toasts"
    assert world.statuses() == ["queued"]


def test_a_source_is_made_with_its_schedule_in_two_dialogs(client, world):
    dialog = parse(send(client, "/sources", NEW, status=200).text)
    form = dialog.find(".//form[@id='schedule-form']")
    assert text_of(form.find(".//h2")) == "When is a feed read?"
    assert len(form.findall(".//ol/li")) == 5
    send(client, form.get("hx-post").removeprefix(HERE), OFTEN)
    source, schedule = world.rows(tables.Source)[0], world.rows(tables.SourceTaskType)[0]
    assert (source["name"], source["settings"], source["active"]) == ("a feed", {"n": 2}, True)
    assert (schedule["schedule"], schedule["deadline_seconds"], schedule["priority"]) == ("15 minutes", 600.0, 1)
    assert schedule["due_at"] == NOON + 900


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("name", " ", "name has 0 characters"),
        ("address", "", "address has 0 characters"),
        ("parser", "nntp", "parser is `nntp`"),
        ("settings", "{", "settings are no JSON"),
        ("settings", "[]", "settings are no JSON object"),
    ],
)
def test_a_wrong_source_comes_back_with_the_sentence_at_its_field(client, world, field, text, said):
    tree = parse(send(client, "/sources", {**NEW, field: text}, status=422).text)
    assert said in text_of(tree.find(f".//p[@id='hint-{field}']"))
    assert tree.find(f".//*[@id='field-{field}']").get("aria-invalid") == "true"
    assert "autofocus" in tree.find(f".//*[@id='field-{field}']").attrib
    assert world.rows(tables.Source) == []


def test_a_second_source_of_the_same_name_is_refused_at_the_name(client, world):
    world.source("a feed")
    tree = parse(send(client, "/sources", NEW, status=422).text)
    assert "has the name `a feed` already" in text_of(tree.find(".//p[@id='hint-name']"))


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("schedule", "every blue moon", "allowed is an interval"),
        ("schedule", "10 seconds", "allowed is an interval of"),
        ("deadline", "soon", "deadline is `soon`"),
        ("deadline", "900 days", "deadline is"),
        ("priority", "high", "priority is `high`"),
    ],
)
def test_a_wrong_schedule_comes_back_with_the_sentence_at_its_field(client, world, field, text, said):
    world.source()
    schedule = world.rows(tables.SourceTaskType)[0]["id"]
    tree = parse(send(client, f"/schedules/{schedule}", {**OFTEN, field: text}, status=422).text)
    assert said in text_of(tree.find(f".//p[@id='hint-{field}']"))
    assert tree.find(f".//*[@id='field-{field}']").get("value") == text


def test_the_next_five_times_are_shown_as_one_types(client):
    tree = page(client, "/preview?schedule=0+6+*+*+*", HTMX)
    assert [text_of(one) for one in tree.findall(".//li")][:2] == ["2025-11-27 06:00 UTC", "2025-11-28 06:00 UTC"]
    wrong = page(client, f"/preview?schedule={quote(MARKUP)}", HTMX, status=422)
    assert wrong.find(".//img") is None
    assert "allowed is an interval" in text_of(wrong)


def test_sources_and_schedules_are_switched_changed_and_deleted(client, world):
    source = world.source("demo feed")
    schedule = world.rows(tables.SourceTaskType)[0]["id"]
    switches = page(client, "/sources").findall(".//button[@role='switch']")
    assert [one.get("aria-checked") for one in switches] == ["true", "true"]
    for one in switches:
        send(client, one.get("hx-post").removeprefix(HERE))
    assert [one.get("aria-checked") for one in page(client, "/sources").findall(".//button[@role='switch']")] == [
        "false",
        "false",
    ]
    edit = page(client, f"/schedules/{schedule}/edit", HTMX)
    assert edit.find(".//input[@name='deadline']").get("value") == "10 minutes"
    send(client, f"/schedules/{schedule}", {**OFTEN, "schedule": "0 6 * * *"})
    send(client, f"/sources/{source}", {**NEW, "name": "another"})
    assert world.rows(tables.SourceTaskType)[0]["schedule"] == "0 6 * * *"
    assert page(client, f"/sources/{source}/edit", HTMX).find(".//input[@name='name']").get("value") == "another"
    assert text_of(parse(send(client, f"/schedules/{schedule}/create", status=200).text)) == "1 task was created."
    assert "the last one is still open" in send(client, f"/schedules/{schedule}/create", status=409).text
    page(client, f"/schedules/{schedule}/delete", HTMX)
    send(client, f"/schedules/{schedule}/delete")
    assert "No schedule yet" in text_of(page(client, "/sources"))
    page(client, f"/sources/{source}/delete", HTMX)
    send(client, f"/sources/{source}/delete")
    assert world.rows(tables.Source) == []
    assert world.statuses() == ["cancelled"]


def test_a_source_shows_its_last_result_its_next_time_and_that_it_is_a_demo(client, world):
    task = world.queued()[0]
    world.apply(world.report(task, Status.FAILED))
    world.set(tables.Source, settings={"demo": True})
    tree = page(client, "/sources?shown=failing", HTMX)
    head, row = rows(tree)
    assert re.match(r"feed 0 demo .*not done 1 time$", head[0])
    assert row[2:5] == ["Every hour", "2025-11-26 13:00 UTC", "failed 2025-11-26 12:00 UTC"]


@pytest.mark.parametrize(
    "path",
    [
        f"/tasks/{NOBODY}",
        f"/tasks/{NOBODY}/cancel",
        "/sources/9/edit",
        "/sources/9/delete",
        "/schedules/9/edit",
        "/schedules/9/delete",
        "/schedules/new?source_id=9",
        "/tasks?group_id=9",
        "/nothing",
    ],
)
def test_what_is_not_there_is_404(client, path):
    assert page(client, path, {**ADMIN, "accept": "text/html"}, 404).find(".//h1") is not None


@pytest.mark.parametrize(
    "path",
    [
        f"/tasks/{NOBODY}/retry",
        "/sources/9",
        "/sources/9/delete",
        "/sources/9/switch?on=true",
        "/schedules/9",
        "/schedules/9/create",
        "/schedules/9/delete",
        "/schedules/9/switch?on=false",
        "/schedules?source_id=9",
    ],
)
def test_what_is_not_there_is_not_changed(client, path):
    answer = send(client, path, {**NEW, **OFTEN}, status=404)
    assert answer.headers["hx-retarget"] == "#toasts"


@pytest.mark.parametrize(
    "path",
    [
        "/tasks/1",
        f"/tasks/{NOBODY}/burn",
        "/tasks?status=lost",
        "/tasks?since=yesterday",
        "/tasks?late=perhaps",
        "/tasks?after=x",
        "/tasks?before=x",
        "/tasks?group_id=0",
        f"/tasks?group_id={2**63}",
        "/errors?until=9",
        "/groups?status=lost",
        "/groups?cause=weather",
        "/sources?shown=half",
        f"/sources/{2**63}/edit",
        "/schedules/new",
        "/preview?schedule=x",
    ],
)
def test_what_makes_no_sense_is_422(client, world, path):
    world.source()
    assert client.get(HERE + path, headers=HTMX).status_code == 422

"""The first page: what it shows of each DAG."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from include.web.overview import Dag, DagState, Run, build_app
from include.web.pages import Pages, Tab
from tests.html import parse, text_of
from tests.unit.web.conftest import ADMIN, VIEWER

TAB = Tab("Overview", "")
AT = datetime(2026, 11, 26, 15, 5, tzinfo=timezone(timedelta(hours=2)))
HTMX = {**ADMIN, "hx-request": "true"}


def run(state):
    return Run("manual__2026-11-26T13:05:00+00:00", state, AT)


DAGS = [
    Dag(
        "CSV",
        "/csv",
        "csv_processing",
        DagState(True, "Every hour", datetime(2026, 11, 26, 14, tzinfo=UTC), run("success")),
    ),
    Dag("CSV", "/csv", "symbol_processing", DagState(True, "", None, run("failed"))),
    Dag("Deals", None, "deals", DagState(False, "Every day", AT, run("queued"))),
    Dag("Deals", None, "<b>odd</b>", DagState(False)),
    Dag("Deals", None, "broken", DagState(True, is_broken=True)),
    Dag("Deals", None, "unread"),
]
BY_HAND, NO_RUN = "Only when it is started", "No run yet. Start one in Airflow: open the DAG, then Trigger."


@pytest.fixture
def asked():
    """The users whose DAGs were read."""
    return []


@pytest.fixture
def client(access, served, asked):
    def serve(dags=DAGS, prefix=""):
        return served(prefix, overview=build_app(Pages(TAB, (TAB,)), access, lambda user: asked.append(user) or dags))

    return serve


@pytest.mark.parametrize("prefix", ["", "/flow"])
def test_a_page_without_its_slash_is_found(access, served, prefix):
    csv = Tab("CSV", "/csv")
    client = served(prefix, overview=build_app(Pages(TAB, (TAB, csv)), access, lambda user: []))
    answer = client.get("/headrace/csv", headers=ADMIN, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "csv/")
    assert client.get("/headrace/csv", follow_redirects=False).status_code == 401


def get(client, path="/headrace/", headers=ADMIN):
    answer = client.get(path, headers=headers)
    assert answer.status_code == 200
    return parse(answer.text)


def rows(page):
    """What stands in the row of each DAG."""
    return {
        text_of(row[0]): [text_of(cell) for cell in row[1:]]
        for row in page.findall(".//tbody/tr")
        if row.get("id", "").startswith("row-")
    }


def test_each_dag_is_shown_with_its_state_in_words_and_times_with_their_zone(client):
    began = "2026-11-26 13:05 UTC"
    assert rows(get(client())) == {
        "csv_processing": ["On", "Every hour", "2026-11-26 14:00 UTC", f"success {began}", "nothing"],
        "symbol_processing": ["On", BY_HAND, "none", f"failed {began}", "The last run failed"],
        "deals": ["Off", "Every day", "none", f"queued {began}", "A run waits until the DAG is switched on"],
        "<b>odd</b>": ["Off", BY_HAND, "none", NO_RUN, "nothing"],
        "broken": ["On", BY_HAND, "none", NO_RUN, "Its file does not import"],
        "unread": ["Unknown", "Airflow has not read it"],
    }


def test_the_dags_stand_below_their_system_which_leads_to_its_page_where_there_is_one(client):
    heads = get(client()).findall(".//tr[@class='system']/th")
    assert [(text_of(head), [link.get("href") for link in head.findall("a")]) for head in heads] == [
        ("CSV: open its page", ["/headrace/csv/"]),
        ("Deals", []),
    ]


def test_the_first_step_of_a_dag_without_a_run_is_on_the_page_of_its_system(client):
    shown = rows(get(client([Dag("CSV", "/csv", "csv_processing", DagState(True))])))
    assert shown["csv_processing"][3] == "No run yet. Start one on the page CSV."


@pytest.mark.parametrize("prefix", ["", "/flow"])
def test_a_dag_and_its_run_lead_to_airflow_s_own_pages(client, prefix):
    page = get(client(prefix=prefix))
    links = [link.get("href") for link in page.find(".//tr[@id='row-csv_processing']").findall(".//a[@data-airflow]")]
    own = f"{prefix}/dags/csv_processing"
    assert links == [own, f"{own}/runs/manual__2026-11-26T13%3A05%3A00%2B00%3A00"]


def test_a_time_has_its_exact_form(client):
    time = get(client()).find(".//tr[@id='row-csv_processing']//a/../time")
    assert (time.get("datetime"), time.get("title")) == (AT.isoformat(), "2026-11-26 13:05:00 UTC")


def test_how_many_need_a_person_is_said(client):
    assert text_of(get(client()).find(".//p[@class='summary needed']")) == "4 of the DAGs need a person"
    assert text_of(get(client(DAGS[:1])).find(".//p[@class='summary']")) == "Nothing needs a person"


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("?q=PROCESS", ["csv_processing", "symbol_processing"]),
        ("?shown=needed", ["symbol_processing", "deals", "broken", "unread"]),
        ("?shown=off", ["deals", "<b>odd</b>"]),
        ("?shown=off&q=deal", ["deals"]),
        ("?shown=nonsense&q=deal", ["deals"]),
        ("?q=nothing", []),
    ],
)
def test_what_is_shown_is_filtered_and_the_filters_say_so(client, query, shown):
    page = get(client(), f"/headrace/{query}")
    assert list(rows(page)) == shown
    if "q=" in query:
        assert page.find(".//input[@name='q']").get("value") == query.rpartition("q=")[2]
    if "shown=off" in query:
        assert page.find(".//option[@selected]").get("value") == "off"


def test_a_filter_keeps_to_itself_what_is_markup(client):
    page = get(client(), '/headrace/?q="><script>alert(1)</script>')
    assert page.find(".//input[@name='q']").get("value") == '"><script>alert(1)</script>'
    assert page.find(".//main//script") is None


def test_htmx_gets_the_rows_alone_and_asks_again_for_the_same(client):
    (section,) = get(client(), "/headrace/?q=deals", HTMX)
    assert (section.get("id"), section.get("hx-get")) == ("rows", "/headrace/?q=deals")
    assert section.get("hx-trigger").startswith("every 3s")


def test_what_a_person_may_stand_on_has_an_id_that_stays(client):
    """htmx gives the focus back by it, when the rows are exchanged."""
    links = get(client()).findall(".//section[@id='rows']//a")
    assert all(link.get("id") for link in links)
    assert len({link.get("id") for link in links}) == len(links)


def test_many_dags_are_shown_a_page_at_a_time(client):
    many = [Dag("Scripts", None, f"parser_{number:03}", DagState(True)) for number in range(120)]
    page = get(client(many), "/headrace/?page=2&q=parser")
    assert next(iter(rows(page))) == "parser_050"
    pager = page.find(".//nav[@class='pager']")
    assert text_of(pager.find("span")) == "51 to 100 of 120 DAGs"
    assert [(text_of(link), link.get("href")) for link in pager.findall("a")] == [
        ("Previous", "/headrace/?q=parser"),
        ("Next", "/headrace/?q=parser&page=3"),
    ]


@pytest.mark.parametrize("dags", [[], [Dag("CSV", None, "csv_processing")]])
def test_an_airflow_that_has_read_nothing_yet_is_told_the_first_step(client, dags):
    page = get(client(dags))
    assert text_of(page.find(".//h2")) == "No DAG yet"
    assert "make up" in text_of(page.find(".//section[@id='rows']"))
    assert page.find(".//table") is None
    assert page.find(".//section[@id='rows']").get("hx-trigger").startswith("every 3s")


def test_the_dags_are_those_of_who_asks_read_once_a_page(client, asked):
    get(client(), headers=VIEWER)
    assert asked == ["viewer"]


def test_a_page_number_that_is_none_is_named(client):
    assert client().get("/headrace/?page=0", headers=ADMIN).json()["detail"].startswith("`page`: ")

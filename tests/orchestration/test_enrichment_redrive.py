"""Which earlier run's failed rows are called again, with what of it, and what it says where that cannot be."""

import json

import pytest

from dags.csv_processing import PIPELINE
from dags.symbol_processing import PIPELINE as SYMBOLS
from include.common.errors import BadInputError, ConfigError
from include.common.names import file_name
from include.orchestration.enrichment.job import find_run, make_job


@pytest.fixture
def failing(airflow, demo, tmp_path):
    """Makes a run of six rows, in which three failed, with parameters of its own."""

    def run(pipeline=PIPELINE, **conf):
        source = tmp_path / "in.csv"
        source.write_text("id,symbol\n" + "".join(f"{number},{number}\n" for number in range(60)))
        demo.behave({"fault": "status", "status": 404, "keys": ["1", "2", "3"]})
        conf = {"source": str(source), "output": str(tmp_path / "out.json"), "api_url": f"{demo.url}/echo", **conf}
        ended = airflow.run(pipeline, **conf)
        demo.behave()
        return ended

    return run


@pytest.fixture
def job_of(airflow):
    """The job of a run that was asked for `conf`."""
    return lambda **conf: make_job(PIPELINE, airflow.context(PIPELINE, _new(airflow, conf)))[1]


@pytest.fixture
def found(airflow):
    """Looks for an earlier run as a new one does."""
    return lambda run_id: find_run(PIPELINE, run_id, airflow.context(PIPELINE, _new(airflow, {})))


def _new(airflow, conf):
    run = airflow.add(PIPELINE.name, "the new one", "running")
    run.conf = conf
    return run


def test_failed_rows_alone_are_called_again_and_the_whole_is_published_over_a_chain(
    airflow, demo, failing, storage, tmp_path
):
    first = failing(rate_limit="none")
    called = []
    for still in (["2", "3"], ["3"], [], []):
        demo.behave({"fault": "status", "status": 404, "keys": still})
        run = airflow.run(PIPELINE, retry_failed_of=airflow.runs[-1].run_id)
        assert run.state == "success"
        called.append(dict(demo.stats.by_key))
    assert called == [{"1": 1, "2": 1, "3": 1}, {"2": 1, "3": 1}, {"3": 1}, {}]
    records = json.loads((tmp_path / "out.json").read_text())
    assert [record["id"] for record in records] == [str(number) for number in range(60)]
    report = json.loads((storage / "runs" / PIPELINE.name / file_name(run.run_id) / "report.json").read_text())
    assert report["counts"] == {"rows": 60, "ok": 60, "failed": 0, "skipped": 0}
    assert len({airflow.runs[0].run_id, first.run_id}) == 1


def test_a_redrive_takes_source_key_limit_output_rate_and_address_of_the_earlier_run(failing, job_of, demo, tmp_path):
    first = failing(rate_limit="50/second", limit=40, key="symbol")
    job = job_of(retry_failed_of=first.run_id)
    assert (job.source, job.output) == (tmp_path / "in.csv", tmp_path / "out.json")
    assert (job.key, job.limit, job.rate_limit, job.api_url) == ("symbol", 40, "50/second", f"{demo.url}/echo")
    assert job.retry.run_id == first.run_id


def test_output_rate_and_address_of_the_redrive_win_where_they_are_given(failing, job_of, demo, tmp_path):
    first = failing(rate_limit="50/second")
    own = {"output": str(tmp_path / "other.json"), "rate_limit": "7/second", "api_url": f"{demo.url}/countries"}
    job = job_of(retry_failed_of=first.run_id, **own)
    assert (str(job.output), job.rate_limit, job.api_url) == tuple(own.values())


@pytest.mark.parametrize(
    ("name", "value", "theirs"), [("limit", 2, "None"), ("key", "symbol", "id"), ("source", "other.csv", "{source}")]
)
def test_rows_other_than_the_earlier_runs_are_an_error(failing, job_of, tmp_path, name, value, theirs):
    first = failing(rate_limit="none")
    with pytest.raises(ConfigError) as caught:
        job_of(retry_failed_of=first.run_id, **{name: value})
    expected = theirs.format(source=tmp_path / "in.csv")
    assert str(caught.value) == f"{name} is `{value}`; with retry_failed_of it is that run's, `{expected}`"


def test_the_rows_of_the_earlier_run_may_be_named(failing, job_of, tmp_path):
    first = failing(rate_limit="none", limit=40)
    job = job_of(retry_failed_of=first.run_id, source=str(tmp_path / "in.csv"), key="id", limit=40)
    assert job.limit == 40


def test_an_address_that_may_hold_a_key_is_asked_for_again(failing, job_of, demo):
    url = f"{demo.url}/echo/{{id}}?apikey=s3cret"
    first = failing(rate_limit="none", api_url=url)
    with pytest.raises(ConfigError, match="a run with an `api_url` of its own, which is not kept, for a key may") as e:
        job_of(retry_failed_of=first.run_id)
    assert "s3cret" not in str(e.value)
    assert job_of(retry_failed_of=first.run_id, api_url=url).api_url is None


def test_another_address_than_the_earlier_runs_has_to_be_meant(airflow, demo, job_of, monkeypatch):
    demo.behave({"fault": "status", "status": 404, "keys": ["004"]})
    first = airflow.run(PIPELINE, limit=20)
    monkeypatch.setenv("API_URL", "https://api.example.com/items")
    sentence = (
        f"retry_failed_of is `{first.run_id}`, which called {demo.url}/countries (the demo API); this run would call "
        "https://api.example.com/items (API_URL); set `api_url` if that is meant"
    )
    with pytest.raises(ConfigError) as caught:
        job_of(retry_failed_of=first.run_id)
    assert str(caught.value) == sentence
    assert job_of(retry_failed_of=first.run_id, api_url="https://api.example.com/items").retry.run_id == first.run_id


def test_the_demo_api_of_another_start_is_the_same_api(airflow, demo, job_of, monkeypatch):
    demo.behave({"fault": "status", "status": 404, "keys": ["004"]})
    first = airflow.run(PIPELINE, limit=20)
    monkeypatch.setenv("HEADRACE_DEMO_API", "http://127.0.0.1:9")
    assert job_of(retry_failed_of=first.run_id).api == "http://127.0.0.1:9/countries"


def test_the_earlier_run_is_found_by_its_folder_even_where_airflow_has_forgotten_it(airflow, failing, found):
    first = failing(rate_limit="none")
    airflow.runs.clear()
    assert found(first.run_id).run_id == first.run_id


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_run_that_has_not_ended_is_waited_for(failing, found, state):
    first = failing(rate_limit="none")
    first.state = state
    with pytest.raises(BadInputError, match="that run has not ended yet; wait for its end, or mark it as failed"):
        found(first.run_id)


def test_the_run_itself_is_no_earlier_run(found):
    with pytest.raises(BadInputError, match=r"^retry_failed_of is `the new one`: this run itself$"):
        found("the new one")


def test_a_run_that_made_no_plan_is_started_anew(airflow, demo, found, tmp_path):
    planless = airflow.run(PIPELINE, source=str(tmp_path / "missing.csv"))
    assert planless.state == "failed"
    with pytest.raises(BadInputError, match="that run ended before anything was called; start it anew"):
        found(planless.run_id)


def test_a_run_whose_folder_was_removed_says_where_it_looked(airflow, found, storage):
    airflow.add(PIPELINE.name, "pruned")
    with pytest.raises(BadInputError) as caught:
        found("pruned")
    looked = storage / "runs" / PIPELINE.name / "pruned"
    kept = "the folders of the last 72 runs are kept"
    assert str(caught.value) == f"retry_failed_of is `pruned`: its data is gone (looked for `{looked}`; {kept})"


def test_a_run_of_another_dag_is_said_to_be_that(airflow, demo, found):
    symbols = airflow.run(SYMBOLS, run_id="of symbols", dry_run=True)
    with pytest.raises(BadInputError, match=r"a run of `symbol_processing`, not of `csv_processing`$"):
        found(symbols.run_id)


def test_a_run_that_nobody_knows_says_where_it_looked(found, storage):
    with pytest.raises(BadInputError, match=r"`csv_processing` has no such run \(looked in Airflow's runs and for `"):
        found("no-such-run")
    assert not storage.exists()


def test_a_redrive_of_a_dry_run_fails_with_one_sentence(airflow, demo, storage):
    dry = airflow.run(PIPELINE, dry_run=True)
    run = airflow.run(PIPELINE, retry_failed_of=dry.run_id)
    assert (run.state, run.tries["plan", -1]) == ("failed", 1)
    report = json.loads((storage / "runs" / PIPELINE.name / file_name(run.run_id) / "report.json").read_text())
    assert report["problems"] == [f"retry_failed_of is `{dry.run_id}`: a dry run, in which nothing was called"]
    assert demo.stats.calls == 0

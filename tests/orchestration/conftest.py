"""What whole runs without a scheduler need: a stand-in for Airflow, the demo API and Telegram's stand-in behind it."""

import shutil

import pytest
from airflow.models import import_all_models
from airflow.models.base import Base
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from include.common.schema import migrate
from include.demo_api.faults import Fault
from include.demo_api.server import DemoApi
from include.launch.branches import branches
from tests.stand_ins.airflow import AirflowStandIn
from tests.stand_ins.serving import serving
from tests.stand_ins.telegram import TelegramStandIn


@pytest.fixture
def telegram(monkeypatch):
    with TelegramStandIn() as stand_in:
        monkeypatch.setenv("AIRFLOW_CONN_TELEGRAM_DEFAULT", stand_in.connection)
        yield stand_in


class Demo(DemoApi):
    """The demo API in this process, at `url`."""

    url: str

    def behave(self, *faults, latency=0.0):
        """Misbehave like this from here on; counts start anew."""
        self.faults, self.latency = [Fault(**fault) for fault in faults], latency
        self.stats = type(self.stats)()


@pytest.fixture
def demo(monkeypatch):
    api = Demo()
    with serving(api.app()) as port:
        api.url = f"http://127.0.0.1:{port}"
        monkeypatch.setenv("HEADRACE_DEMO_API", api.url)
        yield api


@pytest.fixture(scope="session")
def migrated(tmp_path_factory):
    path = tmp_path_factory.mktemp("application") / "headrace.db"
    migrate(f"sqlite:///{path}", branches=branches())
    return path


@pytest.fixture
def storage(tmp_path, monkeypatch):
    """The storage root of the runs, which are in a database of their own."""
    monkeypatch.setenv("HEADRACE_STORAGE", str(tmp_path / "storage"))
    return tmp_path / "storage"


@pytest.fixture
def airflow(storage, migrated, tmp_path, monkeypatch):
    database = shutil.copy(migrated, tmp_path / "headrace.db")
    monkeypatch.setenv("HEADRACE_DATABASE_URL", f"sqlite:///{database}")
    return AirflowStandIn()


@pytest.fixture
def session():
    """A session of a database with Airflow's tables, empty."""
    import_all_models()
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as opened:
        yield opened
    engine.dispose()

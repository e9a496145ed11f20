"""How a task hears that it is to end."""

import os
import signal

from include.orchestration.termination import STOPPING, termination


def test_a_task_is_told_by_a_signal_and_airflows_own_handler_is_back_after_it():
    before = signal.getsignal(signal.SIGTERM)
    with termination() as terminated:
        assert not terminated()
        os.kill(os.getpid(), signal.SIGTERM)
        assert terminated()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_task_is_told_once_its_worker_stops(monkeypatch, tmp_path):
    monkeypatch.setenv(STOPPING, str(tmp_path / "stopping"))
    with termination() as terminated:
        assert not terminated()
        (tmp_path / "stopping").touch()
        assert terminated()


def test_a_task_that_begins_while_its_worker_stops_is_told_as_well(monkeypatch, tmp_path):
    (tmp_path / "stopping").touch()
    monkeypatch.setenv(STOPPING, str(tmp_path / "stopping"))
    with termination() as terminated:
        assert terminated()

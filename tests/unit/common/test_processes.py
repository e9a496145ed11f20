"""Whether a process that another one names still lives."""

import os
import subprocess
import sys

from include.common.processes import has_ended, this_process

SAY_AND_WAIT = "from include.common.processes import this_process; print(this_process(), flush=True); input()"


def test_a_process_has_ended_once_it_was_killed_and_not_before():
    other = subprocess.Popen([sys.executable, "-c", SAY_AND_WAIT], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        name = other.stdout.readline().decode().strip()
        assert not has_ended(name)
        other.kill()
        other.wait()
        assert has_ended(name)
    finally:
        other.kill()
        other.communicate()


def test_a_process_that_nobody_has_reaped_yet_has_ended():
    other = subprocess.Popen([sys.executable, "-c", SAY_AND_WAIT], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    name = other.stdout.readline().decode().strip()
    other.kill()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
    assert has_ended(name)
    other.communicate()


def test_another_process_with_the_same_number_does_not_hide_the_end():
    place, number, started = this_process().split(" ")
    assert not has_ended(f"{place} {number} {started}")
    assert has_ended(f"{place} {number} {int(started) - 1}")


def test_of_a_process_elsewhere_nothing_is_known():
    _, number, started = this_process().split(" ")
    assert not has_ended(f"another-boot/pid:[1] {number} {int(started) - 1}")


def test_of_a_process_without_a_start_time_nothing_is_known(tmp_path):
    assert not has_ended(this_process(tmp_path), tmp_path)

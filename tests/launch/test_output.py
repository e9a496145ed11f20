"""Output whose reader leaves before the end."""

import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
WRITER = """
import sys
from include.launch.output import outlive_readers
outlive_readers()
for number in range(50_000):
    print("line ünï", number)
    print("error", number, file=sys.stderr)
sys.exit(7)
"""


def test_a_reader_that_leaves_ends_nothing_and_the_status_stays():
    command = [sys.executable, "-c", WRITER]
    writer = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    lines = [writer.stdout.readline(), writer.stdout.readline()]
    writer.stdout.close()
    assert writer.wait(60) == 7
    assert lines == ["line ünï 0\n".encode(), b"error 0\n"]


def test_a_reader_that_stays_reads_all_of_it():
    ended = subprocess.run([sys.executable, "-c", WRITER], cwd=PROJECT, capture_output=True, check=False)
    assert (ended.returncode, ended.stdout.count(b"\n"), ended.stderr.count(b"\n")) == (7, 50_000, 50_000)

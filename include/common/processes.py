"""Which process this is, said so that another one on the same machine can tell whether it still lives."""

import contextlib
import os
import socket
from pathlib import Path

PROC = Path("/proc")
# Fields of /proc/<pid>/stat behind the name, which may hold anything: the 20th of them is the start time (proc(5)).
STARTED = 19


def this_process(proc: Path = PROC) -> str:
    """Names this process: where it runs, its id, and when it started; another one never has the same name."""
    return f"{_place(proc)} {os.getpid()} {_started(os.getpid(), proc)}"


def has_ended(name: str, proc: Path = PROC) -> bool:
    """Whether the process that `this_process` named has certainly ended: it ran where this one does, and is gone.

    False where that cannot be known: it ran on another machine or in another container, or there is no /proc.
    """
    place, _, process = name.partition(" ")
    number, _, started = process.partition(" ")
    if place != _place(proc) or not number.isdecimal() or not started:
        return False
    return _started(int(number), proc) != started


def _place(proc: Path) -> str:
    """This boot of this machine, and in it the room of process ids: a container has its own."""
    with contextlib.suppress(OSError):
        boot = (proc / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{(proc / 'self/ns/pid').readlink()}"
    return socket.gethostname()


def _started(number: int, proc: Path) -> str:
    """When a process started, in the kernel's ticks; empty where there is none, or where it only waits to be reaped."""
    try:
        fields = (proc / str(number) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[STARTED]

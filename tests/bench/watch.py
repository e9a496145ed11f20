"""Memory and CPU of an Airflow's processes while a run goes on, by looking at them now and then."""

import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import psutil

EVERY = 1.0


class Watch:
    """`processes` gives those to look at. After the block: the largest, and the CPU seconds of all, also of the ended.

    Memory is the peak that the system keeps of each process. One that lives for less than `EVERY` may be missed; the
    tasks that do the work of a long run live for longer.
    """

    def __init__(self, processes: Callable[[], list[psutil.Process]]) -> None:
        self._processes = processes
        self._begin: dict[tuple[int, float], float] = {}
        self._used: dict[tuple[int, float], float] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look_again, daemon=True)
        self.memory = 0.0  # MB, of the largest process
        self.largest = ""  # its command

    def __enter__(self) -> "Watch":
        self._look()
        self._begin = dict(self._used)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        self._look()

    @property
    def cpu(self) -> float:
        """CPU seconds used since the block began."""
        return sum(used - self._begin.get(process, 0.0) for process, used in self._used.items())

    def _look_again(self) -> None:
        while not self._end.wait(EVERY):
            self._look()

    def _look(self) -> None:
        for process in self._processes():
            try:
                with process.oneshot():
                    times = process.cpu_times()
                    memory = peak(process.pid)
                    self._used[process.pid, process.create_time()] = times.user + times.system
                    if memory > self.memory:
                        self.memory, self.largest = memory, " ".join(process.cmdline())
            except psutil.Error:
                continue


def peak(pid: int) -> float:
    """The most resident memory that a process has had, in MB (`VmHWM`, proc(5))."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), 0.0)

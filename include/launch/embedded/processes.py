"""Starting Airflow's processes, remembering them by id and start time, and stopping them with all their children."""

import contextlib
import fcntl
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from include.common.errors import ConfigError, HeadraceError, TransientError
from include.launch.embedded.environment import Home
from include.launch.fab_users import AUTH_MANAGER
from include.orchestration.paths import PROJECT
from include.orchestration.pools import pools_file, read_pools

STOP_SECONDS = 20


@dataclass(frozen=True)
class Started:
    """A process of ours: an id alone could be somebody else's by now."""

    name: str
    pid: int
    created: float

    def process(self) -> psutil.Process | None:
        """The process if it is alive and still ours."""
        try:
            found = psutil.Process(self.pid)
            alive = found.status() != psutil.STATUS_ZOMBIE and abs(found.create_time() - self.created) < 1
        except psutil.NoSuchProcess:
            return None
        return found if alive else None

    def family(self) -> list[psutil.Process]:
        """The process and all it started, also where it has died itself: they share the session that it began."""
        if psutil.pid_exists(self.pid) and not self.process() and not _is_zombie(self.pid):
            return []  # the id is somebody else's now
        return [process for process in psutil.process_iter() if _session(process.pid) == self.pid]


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None


def _is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@dataclass
class Running:
    """What a start left running, as `running.json` of the home keeps it.

    `demos` is name -> URL, `given` the digests of what the user's environment held.
    """

    port: int
    lasting: bool
    storage: str = ""
    demos: dict[str, str] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)
    processes: list[Started] = field(default_factory=list)

    @property
    def web(self) -> str:
        """The address of the web UI and the REST API."""
        return f"http://127.0.0.1:{self.port}"

    def dead(self) -> list[str]:
        """The names of processes that have ended."""
        return [started.name for started in self.processes if not started.process()]

    def save(self, home: Home) -> None:
        """Write it down before anything else happens, so that `down` finds every process."""
        _state(home).write_text(json.dumps(asdict(self)), encoding="utf-8")


def _state(home: Home) -> Path:
    return home.path / "running.json"


def find_running(home: Home) -> Running | None:
    """What runs in this home, None where nothing does; leftovers of a start that was killed count."""
    try:
        found = json.loads(_state(home).read_text("utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ConfigError(f"`{_state(home)}` is not readable: {error}; remove it once nothing runs") from error
    known = {
        name: value for name, value in found.items() if name in Running.__dataclass_fields__
    }  # of an older version
    running = Running(**{**known, "processes": [Started(**started) for started in found["processes"]]})
    return running if any(started.family() for started in running.processes) else None


@contextlib.contextmanager
def alone(home: Home, holder: str) -> Iterator[None]:
    """Hold the home for a start, a stop or a migration by `holder`, the command that a person typed.

    Raises `HeadraceError`, which names who has it, where somebody else does.
    """
    with (home.path / "lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            other = lock.read() or "another `make up`, `make down`, `make run` or `make migrate`"
            raise HeadraceError(f"{other} is at work in `{home.path}`; try again when it has ended") from error
        lock.truncate(0)
        lock.write(f"`{holder}` (process {os.getpid()})")
        lock.flush()
        yield


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def check_port(port: int) -> None:
    """Raise `ConfigError` where `port` of loopback is taken."""
    if port > 65535:
        raise ConfigError(f"PORT is `{port}`; allowed is a whole number from 1 to 65535")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigError(f"port {port} is in use on 127.0.0.1; choose another one: make up PORT=8081") from error


def prepare(home: Home, environment: Mapping[str, str], again: bool = False, data: bool = False) -> None:
    """Migrate the databases and import the pools, where the code has changed since the last time, or `again`.

    `data` tells the revisions to carry data.
    """
    stamp = _stamp(home)
    expected = _fingerprint(environment)
    if not again and stamp.exists() and stamp.read_text("utf-8") == expected and (home.path / "airflow.db").exists():
        return
    log = home.logs / "prepare.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "include.launch.prepare", *["--data"] * data]
        ended = subprocess.run(command, env=dict(environment), cwd=PROJECT, stdout=output, stderr=output, check=False)
    if ended.returncode:
        raise HeadraceError(f"preparing the databases failed:\n{tail(log)}")
    stamp.write_text(expected, encoding="utf-8")


def prepare_again(home: Home) -> None:
    """Have the next start prepare the databases: they are no longer at what the code expects."""
    _stamp(home).unlink(missing_ok=True)


def _stamp(home: Home) -> Path:
    return home.path / "prepared"


def _fingerprint(environment: Mapping[str, str]) -> str:
    migrations = sorted(PROJECT.glob("include/*/migrations/**/*.py"))
    named = ("HEADRACE_DATABASE_URL", AUTH_MANAGER)
    digest = hashlib.sha256(json.dumps([environment.get(name) for name in named]).encode())
    digest.update(json.dumps(read_pools(pools_file(environment))).encode())
    for path in (PROJECT / "requirements.txt", *migrations):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def start(home: Home, running: Running, name: str, command: list[str], environment: Mapping[str, str]) -> None:
    """Start a process in a session of its own, its output in the home's `processes/<name>.log`."""
    with (home.logs / f"{name}.log").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            env=dict(environment),
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    running.processes.append(Started(name, process.pid, psutil.Process(process.pid).create_time()))
    running.save(home)


def check_alive(home: Home, running: Running) -> None:
    """Raise `TransientError` with the end of its log where a process has died."""
    for name in running.dead():
        whose = "" if name in running.demos else "Airflow's "
        raise TransientError(f"{whose}{name} has ended; its log ends with\n{tail(home.logs / f'{name}.log')}")


def stop(home: Home, running: Running, seconds: float = STOP_SECONDS) -> list[str]:
    """End every process and all it started, by id: asked first, killed after `seconds`. Returns the names of the ended.

    Not to be interrupted: a second Ctrl-C would leave behind what the first one was to end.
    """
    with _undisturbed():
        return _stop(home, running, seconds)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _stop(home: Home, running: Running, seconds: float) -> list[str]:
    families = {started.name: started.family() for started in running.processes}
    ended = [name for name, members in families.items() if members]
    family = [process for members in families.values() for process in members]
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(family, timeout=seconds)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=STOP_SECONDS)
    _reap()
    _state(home).unlink(missing_ok=True)
    return ended


def _reap() -> None:
    """Collect our own ended children, so that none stays as a zombie while this process lives."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log."""
    try:
        return "\n".join(path.read_text("utf-8", errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return "(no log)"

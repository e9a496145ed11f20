"""`make bench CASE=upload`: a CSV of 1 GB sent to the api-server, into a folder and into a bucket, beside its floor.

The floor has the same bytes copied on this disk with their SHA-256 and an fsync; for the bucket, a server of the S3
protocol on loopback, it then puts that copy there. Memory is the api-server's: the peak that the system keeps of each
of its processes, begun anew before each upload. Meanwhile somebody looks at the page every 0.1 s.
"""

import contextlib
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import fsspec
import httpx
import psutil

from include.common.storage import Place, place, upload
from include.launch.embedded.environment import USER, Home
from include.launch.embedded.processes import Running, free_port
from include.launch.embedded.service import using
from include.orchestration.rest import AirflowApi
from tests.bench.watch import peak

MB = 1024 * 1024
BYTES = 1024 * MB
BLOCK = MB
ROUNDS = int(os.environ.get("ROUNDS") or 3)
LOOK_EVERY = 0.1
PAGE = "/headrace/csv/"


@dataclass
class Uploaded:
    """One upload: seconds until all was sent, and until the answer; MB before, at the peak and after; the page's s."""

    sent: float
    answered: float
    before: float
    peak: float
    after: float
    looks: list[float] = field(default_factory=list)


def measure() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name:
        folder = Path(name)
        source = folder / "1 GB.csv"
        _write(source)
        os.environ["HEADRACE_UPLOAD_MB"] = str(BYTES // MB)
        titles = f"{'':26}{'seconds':>9}{'sent':>7}{'x floor':>9}{'MB before':>11}{'peak':>6}{'after':>7}{'page ms':>9}"
        print(f"\n{BYTES // MB} MB, rounds: {ROUNDS}\n{titles}{'slowest':>9}")
        _measure_at("folder", folder, source, str(folder / "storage"))
        with _bucket() as bucket:
            _measure_at("bucket", folder, source, bucket)


def _measure_at(kind: str, folder: Path, source: Path, storage: str) -> None:
    os.environ["HEADRACE_STORAGE"] = storage
    home = Home(folder / f"home-{kind}")
    home.create()
    floors, found = [], []
    with using(home, "csv_processing") as running:
        headers = {"Authorization": AirflowApi(running.web, USER, home.password()).bearer()}
        looks = _looks_for(5, running.web, headers)
        for _ in range(ROUNDS):
            floors.append(_floor(source, folder / "copy.csv", place(storage, folder, "storage")))
            found.append(_upload(source, running, headers))
    floor, seconds = statistics.median(floors), statistics.median(one.answered for one in found)
    print(f"{kind + ': floor':26}{floor:9.2f}")
    print(f"{kind + ': nobody uploads':26}{'':49}{statistics.median(looks) * 1000:9.1f}{max(looks) * 1000:9.1f}")
    meanwhile = [look for one in found for look in one.looks]
    most = max(found, key=lambda one: one.peak - one.before)
    print(
        f"{kind + ': upload':26}{seconds:9.2f}{statistics.median(one.sent for one in found):7.2f}{seconds / floor:9.2f}"
        f"{most.before:11.0f}{most.peak:6.0f}{most.after:7.0f}"
        f"{statistics.median(meanwhile) * 1000:9.1f}{max(meanwhile) * 1000:9.1f}",
        flush=True,
    )


def _write(path: Path) -> None:
    """A CSV of just so many bytes."""
    with path.open("wb") as stream:
        stream.write(b"id,name,city,amount,note\n")
        number = 0
        while stream.tell() < BYTES:
            rows = (
                f"{one},Name {one},Springfield,{one % 997}.50,a note of some length about this customer\n"
                for one in range(number, number + 10_000)
            )
            stream.write("".join(rows).encode())
            number += 10_000
        stream.truncate(BYTES)


@contextlib.contextmanager
def _bucket() -> Iterator[str]:
    """The URL of a folder in a bucket, whose server has a process of its own."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    address = f"http://127.0.0.1:{port}"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    httpx.get(address, trust_env=False)
                    break
                time.sleep(0.1)
            os.environ |= {
                "AWS_ENDPOINT_URL": address,
                "AWS_ACCESS_KEY_ID": "headrace",
                "AWS_SECRET_ACCESS_KEY": "headrace-secret",
                "AWS_DEFAULT_REGION": "us-east-1",
            }
            fsspec.filesystem("s3").mkdir("bench")
            yield "s3://bench/headrace"
        finally:
            process.terminate()


def _floor(source: Path, copy: Path, storage: Place) -> float:
    start = time.perf_counter()
    digest = hashlib.sha256()
    with source.open("rb") as read, copy.open("wb") as written:
        while block := read.read(BLOCK):
            written.write(block)
            digest.update(block)
        written.flush()
        os.fsync(written.fileno())
    if not isinstance(storage, Path):
        upload(copy, storage / "floor.csv")
    return time.perf_counter() - start


def _upload(source: Path, running: Running, headers: dict[str, str]) -> Uploaded:
    server = next(started for started in running.processes if started.name == "api-server")
    processes = server.family()
    before = _memory(processes)
    for process in processes:
        Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # the peak begins anew, proc(5)
    sent = 0.0
    start = time.perf_counter()

    def parts() -> Iterator[bytes]:
        nonlocal sent
        with source.open("rb") as stream:
            while block := stream.read(BLOCK):
                yield block
        sent = time.perf_counter() - start

    with _looking(running.web, headers) as looks:
        answer = httpx.post(
            f"{running.web}{PAGE}api/v1/uploads?filename=big.csv",
            content=parts(),
            headers={**headers, "Content-Length": str(source.stat().st_size)},
            trust_env=False,
            timeout=600,
        )
        answered = time.perf_counter() - start
    answer.raise_for_status()
    most = sum(peak(process.pid) for process in processes)
    return Uploaded(sent, answered, before, most, _memory(processes), looks)


def _memory(processes: list[psutil.Process]) -> float:
    return sum(process.memory_info().rss for process in processes) / MB


@contextlib.contextmanager
def _looking(web: str, headers: dict[str, str]) -> Iterator[list[float]]:
    """Look at the page until the block ends; how long each look took."""
    looks: list[float] = []
    end = threading.Event()

    def look() -> None:
        with httpx.Client(base_url=web, trust_env=False, timeout=60, headers=headers) as client:
            while not end.wait(LOOK_EVERY):
                start = time.perf_counter()
                client.get(PAGE).raise_for_status()
                looks.append(time.perf_counter() - start)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield looks
    finally:
        end.set()
        thread.join()


def _looks_for(seconds: float, web: str, headers: dict[str, str]) -> list[float]:
    with _looking(web, headers) as looks:
        time.sleep(seconds)
    return looks[1:]  # the first has the templates to read

"""A Kafka broker for tests: Apache Kafka itself, one node, and the demo broker beside it.

The broker is the one that HEADRACE_TEST_KAFKA names (bootstrap servers), else one started in a temporary folder with
this machine's Java from the distribution's jars, which Maven fetches once into ~/.cache/headrace-tests.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from include.launch.embedded.processes import free_port
from include.orchestration.paths import PROJECT

# As KAFKA_TAG of docker-compose.yaml.
VERSION = "4.3.1"
POM = Path(__file__).with_name("kafka.pom.xml")
# Seconds for a broker to take its first request, and for Maven to fetch 44 MB, on a busy machine.
PATIENCE, FETCHING = 120.0, 500.0
# A small heap, and no time spent on compiling well what lives for a minute.
JAVA = ("java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")
PROPERTIES = """
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:{controller_port}
log.dirs={folder}/data
# One node has one copy of everything.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
# One that was killed is let in again soon.
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
auto.create.topics.enable=false
"""


class Broker:
    """A broker of our own at a port that stays, with what it has stored, when it is killed and started anew."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.bootstrap = f"127.0.0.1:{port}"
        self._log, self._properties = folder / "log", folder / "server.properties"
        self._properties.write_text(PROPERTIES.format(port=port, controller_port=free_port(), folder=folder))
        self._java = [*JAVA, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{jars()}/*"]
        self._process: subprocess.Popen[bytes] | None = None
        made = subprocess.run(
            [*self._java, "kafka.tools.StorageTool", "format", "-t", uuid.uuid4().hex[:22], "-c", self._properties],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert made.returncode == 0, f"Kafka's storage could not be made: {made.stderr}"

    def start(self) -> None:
        """Start it, and wait until it answers; it runs already: nothing."""
        if self._process and self._process.poll() is None:
            return
        with self._log.open("ab") as log:
            command = [*self._java, "kafka.Kafka", self._properties]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_for(self.bootstrap, self._process, lambda: self._log.read_text()[-5000:])

    def kill(self) -> None:
        """As by a power cut, but for the disk: what it has acknowledged is there."""
        assert self._process
        self._process.kill()
        self._process.wait(PATIENCE)


def jars() -> Path:
    """The folder with the distribution's jars, fetched where they are not there."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "headrace-tests"
    found = cache / f"kafka-{VERSION}"
    if not shutil.which("java") or not (found.exists() or shutil.which("mvn")):
        pytest.fail(
            "no Kafka broker for the tests: `apt-get install default-jre-headless maven`, or name one in "
            "HEADRACE_TEST_KAFKA (looked for java and mvn in PATH)",
            pytrace=False,
        )
    if not found.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            _fetch(Path(folder) / "jars")
            if not found.exists():
                (Path(folder) / "jars").rename(found)  # once whole
    return found


def _fetch(folder: Path) -> None:
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={folder}", "-DincludeScope=runtime"]
    command = ["mvn", "-q", "-B", "-ntp", "-f", POM, f"-Dkafka.version={VERSION}", *goal]
    fetched = subprocess.run(command, capture_output=True, text=True, timeout=FETCHING, check=False)
    if fetched.returncode:
        pytest.fail(f"Maven could not fetch Kafka {VERSION}: {fetched.stdout}{fetched.stderr}", pytrace=False)


def wait_for(bootstrap: str, process: subprocess.Popen[bytes], log: Callable[[], str]) -> None:
    """Until a broker that was started answers."""
    give_up = time.monotonic() + PATIENCE
    client = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0, "reconnect.backoff.max.ms": 200})
    while True:
        try:
            client.list_topics(timeout=1)
            return
        except KafkaException:
            if process.poll() is not None or time.monotonic() > give_up:
                pytest.fail(f"the Kafka broker for the tests did not start: {log()}", pytrace=False)


@contextmanager
def running_kafka() -> Iterator[Broker]:
    """A broker in a temporary folder."""
    folder = Path(tempfile.mkdtemp(prefix="headrace-kafka-"))
    broker = None
    try:
        broker = Broker(folder)
        broker.start()
        yield broker
    finally:
        if broker:
            broker.kill()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running_demo_broker(port: int = 0) -> Iterator[str]:
    """The demo broker as a process; yields its bootstrap servers."""
    port = port or free_port()
    command = [sys.executable, "-m", "include.demo_broker", "--port", str(port)]
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        wait_for(f"127.0.0.1:{port}", process, lambda: process.communicate(timeout=PATIENCE)[0].decode())
        yield f"127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)


@pytest.fixture(scope="session")
def kafka_broker() -> Iterator[Broker]:
    """A broker of our own, to be killed and started anew; whoever kills it starts it again."""
    with running_kafka() as broker:
        yield broker


@pytest.fixture(scope="session")
def kafka(request) -> str:
    """The bootstrap servers of a real Kafka."""
    return os.environ.get("HEADRACE_TEST_KAFKA") or request.getfixturevalue("kafka_broker").bootstrap


@pytest.fixture(scope="session")
def demo_kafka() -> Iterator[str]:
    """The bootstrap servers of the demo broker."""
    with running_demo_broker() as bootstrap:
        yield bootstrap


@pytest.fixture
def topic() -> str:
    """The name of a topic that nobody has used."""
    return f"test-{uuid.uuid4().hex[:12]}"

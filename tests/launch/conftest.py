"""What the tests of the launcher share."""

import subprocess
import sys

import pytest

from include.launch.embedded.environment import Home


@pytest.fixture
def home(tmp_path):
    made = Home(tmp_path / "home")
    made.create()
    return made


@pytest.fixture
def sleeper():
    """A process of its own session, as the launcher starts them."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    yield process
    process.kill()
    process.wait()

"""The image of the broker: the public one, or a stand-in of the same jars where that cannot be pulled."""

import shutil
import subprocess
from pathlib import Path

from tests.kafka import VERSION, jars

IMAGE = f"apache/kafka:{VERSION}"
FILES = Path(__file__).with_name("kafka")
# Seconds: for a registry that may not be there; for the packages of a build.
PULL, BUILD = 300, 500


def have_image(folder: Path) -> None:
    """Have it on this engine, built in `folder` if need be."""
    if _done(["docker", "image", "inspect", IMAGE], PULL) or _done(["docker", "pull", "--quiet", IMAGE], PULL):
        return
    shutil.copytree(FILES, folder, dirs_exist_ok=True)
    shutil.copytree(jars(), folder / "jars")
    command = ["docker", "build", "--quiet", "--network", "host", "--tag", IMAGE, folder]
    subprocess.run(command, check=True, timeout=BUILD)


def _done(command: list[str], seconds: float) -> bool:
    return subprocess.run(command, capture_output=True, check=False, timeout=seconds).returncode == 0

"""`dags/toys.py` of the system that a test adds: one file, three DAGs, which put the demo's answer into a table."""

import os
import urllib.request

from airflow.sdk import DAG, task


@task
def fill() -> str:
    from include.toys.models import Box, Toy

    from include.common.database import connect, session
    from include.orchestration.environment import database_url

    with urllib.request.urlopen(os.environ["TOYS_DEMO"]) as answer:
        said = answer.read().decode()
    with session(connect(database_url()), "the toys") as opened:
        opened.add(Box(id=1))
        opened.flush()
        opened.add(Toy(id=1, box_id=1))
    return said


for number in range(3):
    with DAG(f"toy_{number}", schedule=None):
        fill()

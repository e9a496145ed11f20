"""`dags/toys.py` of the system that a test adds: one file, three DAGs, which put toys into a table."""

import os
import time
import urllib.request

from airflow.sdk import DAG, task


@task
def make_toys(params=None, dag_run=None) -> None:
    """Asks the demo first. The last toy is made once there is a file `toys/go`, unless the run is stopped."""
    from include.toys.models import Box, Toy

    from include.common.database import connect, session
    from include.common.files import write_json
    from include.common.names import file_name
    from include.orchestration import paths
    from include.orchestration.environment import database_url

    urllib.request.urlopen(os.environ["TOYS_DEMO"]).close()
    folder, name, total = paths.storage() / "toys", file_name(dag_run.run_id), params["toys"]
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / f"{name}.json", {"done": total - 1, "total": total})
    while not (folder / "go").exists():
        if (folder / f"{name}.stop").exists():
            raise RuntimeError("stopped")
        time.sleep(0.1)
    with session(connect(database_url()), "the toys") as opened:
        opened.merge(Box(id=1))
        opened.flush()
        opened.add_all(Toy(box_id=1) for _ in range(total))
    write_json(folder / f"{name}.json", {"done": total, "total": total})


for number in range(3):
    with DAG(f"toy_{number}", schedule=None, params={"toys": 1}):
        make_toys()

"""The tasks of the CSV pipelines, what a run is asked for and what it tells: the row engine as Airflow sees it."""

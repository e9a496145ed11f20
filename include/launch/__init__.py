"""Starting Airflow and runs of it, on one machine (`embedded`) and in containers (`stack`): what is behind `make`."""

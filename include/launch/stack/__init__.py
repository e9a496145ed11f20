"""What runs inside the containers of the stack, beside Airflow's own commands."""

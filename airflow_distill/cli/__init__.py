"""The `airflow-distill` command line; runs without Airflow."""

"""The Airflow plugin: registration only."""

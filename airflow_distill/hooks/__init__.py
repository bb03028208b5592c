"""Airflow connections become gateways."""

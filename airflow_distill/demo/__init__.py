"""The demonstration: a local Bedrock, a real Airflow, an application's traffic, and the loop watched to its verdict."""

"""Amazon Bedrock model distillation as an Apache Airflow loop."""

__version__ = "0.1.0"

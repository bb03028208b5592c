"""Whether the pages in Airflow are asked for. Every process of Airflow reads this, so it imports the configuration only."""

from __future__ import annotations

from airflow.configuration import conf

SECTION = "airflow_distill"
"""Our section of Airflow's configuration; its options are declared in `provider_info`."""


def pages_are_on() -> bool:
    """Say whether the pages are asked for."""
    return bool(conf.getboolean(SECTION, "pages", fallback=False))

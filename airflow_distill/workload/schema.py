"""The JSON schema of workload files, for editors and other tools. Published as `schema.json` beside this module.

A test fails when the published file is stale; `python -m airflow_distill.workload.schema` writes it anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from airflow_distill.workload.config import Workload

PUBLISHED = Path(__file__).with_name("schema.json")


def json_schema() -> dict[str, Any]:
    """Return the schema, draft 2020-12. Nothing is required in it: any setting may come from `defaults.yaml`."""
    schema = Workload.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "airflow_distill workload"
    schema.pop("required", None)  # a file is complete only together with the defaults beneath it
    return schema


def text() -> str:
    """Return the published file's text."""
    return json.dumps(json_schema(), indent=2, sort_keys=False) + "\n"


if __name__ == "__main__":
    PUBLISHED.write_text(text())

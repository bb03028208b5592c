"""Where an account's settings lie: `distill` in a connection's extra, the fields of our connection form, Airflow Variables.

Hand-written Dags, the Dag factory's readers and the pages ask here, so that one setting has one meaning.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from airflow_distill.errors import ConfigurationError

VARIABLE_PREFIX = "distill_"
FIELD_PREFIX = "distill_"
"""What begins the names of the connection form's fields in the extra; `role_arn` alone is the role to assume."""


def extra_settings(extra: Mapping[str, Any], conn_id: str) -> Mapping[str, Any]:
    """Return `distill` of a connection's extra, as JSON text in one written as a URI, over the form's fields.

    :param extra: the whole extra, as Airflow reads it.
    :raises ConfigurationError: `distill` is there and is no object.
    """
    fields = {
        name.removeprefix(FIELD_PREFIX): value
        for name, value in extra.items()
        if name.startswith(FIELD_PREFIX)
    }
    settings = extra.get("distill")
    if isinstance(settings, str) and settings.strip():
        with suppress(ValueError):
            settings = json.loads(settings)
    if settings in (None, ""):
        return fields
    if not isinstance(settings, Mapping):
        raise ConfigurationError(
            f"account: `distill` in the extra of the connection {conn_id} is not an object.",
            hint='Write it as {"distill": {"root": "s3://bucket/prefix"}}.',
        )
    return {**fields, **settings}


def setting_text(value: Any) -> str:
    """Return a setting without the blanks around it; nothing for None."""
    return "" if value is None else str(value).strip()

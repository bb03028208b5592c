"""Tells a hand-written Dag where it works: bucket prefix, logs and service role, without naming them in the Dag file.

Takes a template's context, hands on one text. The places are read when a task is rendered, never when the Dag file is
parsed: parsing must not ask a secrets backend.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import pass_context

from airflow_distill.errors import ConfigurationError
from airflow_distill.hooks.settings import VARIABLE_PREFIX, extra_settings, setting_text

CONNECTION_PARAM = "aws_conn_id"


class AccountSettings:
    """A template function that returns one setting of the account a Dag works in.

    The first place that has it wins: `distill` in the extra of the connection that the Param `aws_conn_id` names, the
    Airflow Variable `distill_<name>`, the Dag's Param `<name>`. A connection that does not exist, or is only `aws://`, has
    no settings; the two other places answer.

        with DAG(..., user_defined_macros={"account": AccountSettings("root", "logs")},
                 params={"aws_conn_id": "distill_aws", "root": None, "logs": None}):
            HarvestLogsOperator(..., root="{{ account('root') }}", logs="{{ account('logs') }}")

    :param names: every setting that the Dag needs. Each call checks all of them, so that the first task names whatever is
        missing instead of a later one, after money was spent.
    """

    def __init__(self, *names: str) -> None:
        self.names = names

    @pass_context
    def __call__(self, context: Mapping[str, Any], name: str) -> str:
        """Return a setting.

        :raises ConfigurationError: `name` is not one of the settings, or one of them is in none of the three places.
        """
        if name not in self.names:
            raise ConfigurationError(
                f"account: the Dag asks for {name!r}.", hint=f"It may ask for {', '.join(self.names)}."
            )
        conn_id = str(context["params"].get(CONNECTION_PARAM) or "")
        extra = self._extra(context, conn_id)
        found = {each: self._find(context, extra, each) for each in self.names}
        missing = [each for each, value in found.items() if not value]
        if missing:
            raise ConfigurationError(
                f"account: {_listed(missing)} {'is' if len(missing) == 1 else 'are'} not set.",
                hint=f"Set {'it' if len(missing) == 1 else 'each'} in one of three places: under `distill` in the extra "
                f"of the connection {conn_id or '(none named)'}, as Airflow Variable "
                f"{_listed([VARIABLE_PREFIX + each for each in missing])}, or as Param {_listed(missing)} of the run.",
            )
        return found[name]

    @staticmethod
    def _find(context: Mapping[str, Any], extra: Mapping[str, Any], name: str) -> str:
        """Return a setting from the first place that has it, or nothing; later places are not asked."""
        variables = (context.get("var") or {}).get("value") or {}
        return (
            setting_text(extra.get(name))
            or setting_text(variables.get(VARIABLE_PREFIX + name, None))
            or setting_text(context["params"].get(name))
        )

    @staticmethod
    def _extra(context: Mapping[str, Any], conn_id: str) -> Mapping[str, Any]:
        """Return what a connection's extra says of us; a connection that does not exist says nothing."""
        connection = context["conn"].get(conn_id, None) if conn_id and "conn" in context else None
        return extra_settings(connection.extra_dejson if connection is not None else {}, conn_id)


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)

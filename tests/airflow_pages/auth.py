"""An auth manager with one user who may see no Dag, beside Airflow's own simple users by role."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

OUTSIDER = "outsider"


class ByUser(SimpleAuthManager):
    """As Airflow's simple one; the outsider is refused every Dag."""

    def is_authorized_dag(self, *, user: Any, **kwargs: Any) -> bool:
        return user.get_name() != OUTSIDER and super().is_authorized_dag(user=user, **kwargs)

    def filter_authorized_dag_ids(self, *, dag_ids: set[str], user: Any, **kwargs: Any) -> set[str]:
        if user.get_name() == OUTSIDER:
            return set()
        return super().filter_authorized_dag_ids(dag_ids=dag_ids, user=user, **kwargs)

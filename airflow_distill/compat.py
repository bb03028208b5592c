"""Every import that exists only since Airflow 3.3, in one place.

Lowering the floor means changing this module and nothing else. Why 3.3 is the floor: docs/decisions/airflow-floor.md.
"""

from __future__ import annotations

from airflow.sdk import NEVER_EXPIRE, RetryAction, RetryDecision, RetryPolicy

__all__ = ["NEVER_EXPIRE", "RetryAction", "RetryDecision", "RetryPolicy"]

"""The signal inside the log stage that a body cannot be used; never leaves the stage.

Standard library only. It exists so that the road of good records carries no checks of return values.
"""

from __future__ import annotations

from airflow_distill.stages.logs.reasons import SkipReason


class Unusable(Exception):
    """A body cannot become an interaction, for the reason given."""

    def __init__(self, reason: SkipReason) -> None:
        super().__init__(reason.value)
        self.reason = reason

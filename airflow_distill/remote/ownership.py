"""Who owns what this package creates: one workload under one root.

Takes the tags that a resource carries; says whether it is ours, unmarked (made by a version before roots were written into
tags) or somebody else's, and whose. Nothing is adopted, updated, deleted or reaped that is not ours. An unmarked resource
becomes ours only when the root's own records (its ledger, a job's input and output) name it; it is then tagged anew.

Jobs, models and live hosts belong to the root, whichever Airflow made them: a job is paid once, and an Airflow that takes a
root over from another goes on with its hosts. A temporary host belongs to the one run that made it, and two Airflows may
run equal Dags under equal run ids: there the Airflow's id counts too.

Two roots in one account are two owners even when their workloads have the same name, such as staging and production.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from airflow_distill.errors import OwnershipError
from airflow_distill.remote.identity import (
    TAG_AIRFLOW,
    TAG_OWNER,
    TAG_ROOT,
    TAG_RUN,
    TAG_TEMPORARY,
    TAG_WORKLOAD,
    root_mark,
    root_tag,
    tag_value,
)

Claim = Literal["ours", "unmarked", "foreign"]
_MARK = re.compile(r"^[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class Owner:
    """A workload under a root.

    :param root: the root's URI; empty when the caller knows none. Such a caller owns only what carries no root either.
    :param airflow: the id of the Airflow that asks; empty for a person or a reaper, who may ask about every Airflow's.
    """

    workload: str
    root: str = ""
    airflow: str = ""

    @property
    def mark(self) -> str:
        """The short digest of the root."""
        return root_mark(self.root)

    @property
    def tags(self) -> dict[str, str]:
        """The tags that say so."""
        told = {TAG_WORKLOAD: self.workload, TAG_ROOT: root_tag(self.root), TAG_AIRFLOW: self.airflow}
        return {key: tag_value(value) for key, value in told.items() if value}

    def claim(self, tags: Mapping[str, str]) -> Claim:
        """Say whose a resource with these tags is."""
        if tags.get(TAG_WORKLOAD) != tag_value(self.workload):
            return "foreign"
        mark = mark_in(tags)
        if mark == self.mark:
            return "foreign" if self._made_elsewhere(tags) else "ours"
        return "foreign" if mark else "unmarked"

    def refuse(self, what: str, tags: Mapping[str, str]) -> OwnershipError:
        """Return the error that says whose a resource is.

        :param what: kind, name and ARN of the resource.
        """
        if self.claim(tags) == "unmarked":
            return OwnershipError(
                f"{what} carries no root tag, and no record under {self.root} names it.",
                hint=f"If it is yours, tag it {TAG_ROOT}={root_tag(self.root)}; else rename or delete it by hand.",
            )
        return OwnershipError(
            f"{what} is not ours ({self._wanted}): it belongs to {whose(tags)}.",
            hint="It was not changed. Rename it or the workload, or delete it by hand if it is not in use.",
        )

    def _made_elsewhere(self, tags: Mapping[str, str]) -> bool:
        """Say whether it is a run's temporary resource, and the run is another Airflow's."""
        made_by = tags.get(TAG_AIRFLOW, "")
        return (
            bool(self.airflow and made_by) and tags.get(TAG_TEMPORARY) == "true" and made_by != self.airflow
        )

    @property
    def _wanted(self) -> str:
        wanted = f"workload {self.workload}" + (f" under root {self.root}" if self.root else "")
        return wanted + (f", Airflow {self.airflow}" if self.airflow else "")


def mark_in(tags: Mapping[str, str]) -> str:
    """Return the digest of the root that the tags name; empty when they name none."""
    found = _MARK.match(tags.get(TAG_ROOT, ""))
    return found[0] if found else ""


def whose(tags: Mapping[str, str]) -> str:
    """Say in words whom a resource with these tags belongs to.

    >>> whose({"team": "search"})
    'somebody who does not use this package (tags: team=search)'
    """
    if TAG_WORKLOAD not in tags:
        shown = ", ".join(f"{key}={value}" for key, value in sorted(tags.items())[:3]) or "none"
        return f"somebody who does not use this package (tags: {shown})"
    words = [f"workload {tags[TAG_WORKLOAD]}"]
    root = tags.get(TAG_ROOT, "")
    words.append(f"under root {root.partition(' ')[2] or root}" if root else "without a root tag")
    words += [f"owner {tags[TAG_OWNER]}"] if tags.get(TAG_OWNER) else []
    words += [f"run {tags[TAG_RUN]}"] if tags.get(TAG_RUN) else []
    words += [f"Airflow {tags[TAG_AIRFLOW]}"] if tags.get(TAG_AIRFLOW) else []
    return ", ".join(words)

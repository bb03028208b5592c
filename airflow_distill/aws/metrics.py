"""CloudWatch's own count of what Bedrock models are asked: GetMetricData in the namespace `AWS/Bedrock`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from airflow_distill.aws.calls import Gateway

NAMESPACE = "AWS/Bedrock"
NAMES = ("Invocations", "InputTokenCount", "OutputTokenCount")
FAILED = ("InvocationClientErrors", "InvocationServerErrors", "InvocationThrottles")
"""What CloudWatch counts beside `Invocations`, which are the calls that succeeded."""
PERIOD = 3_600
MINUTE = 60


@dataclass(frozen=True, slots=True)
class Asked:
    """What a model or host was asked in a span of time."""

    calls: float
    input_tokens: float
    output_tokens: float
    last: datetime | None
    """The hour of the last call; None when there was none."""


@dataclass(frozen=True, slots=True)
class Failed:
    """How many calls of a model or host there were in a span of time, and how many of them failed."""

    calls: int
    failed: int

    @property
    def share(self) -> float:
        """Failed calls of all; 0 without a call."""
        return self.failed / self.calls if self.calls else 0.0


class MetricsGateway(Gateway):
    """`cloudwatch`: metrics that Bedrock writes by itself."""

    def asked(self, model_ids: Iterable[str], start: datetime, end: datetime) -> Asked:
        """Return what was asked under any of these model ids: a model's id, or a host's ARN.

        :raises ServiceError: CloudWatch gave no answer; it is never taken for "nothing asked".
        """
        queries = _sums(list(model_ids), NAMES, PERIOD)
        sums = [0.0] * len(NAMES)
        last: datetime | None = None
        pages = self.pages(
            "get_metric_data", "NextToken", MetricDataQueries=queries, StartTime=start, EndTime=end
        )
        for page in pages:
            for each in page.get("MetricDataResults", ()):
                number = int(str(each["Id"]).removeprefix("m").partition("_")[0])
                sums[number] += sum(each.get("Values", ()))
                if number == 0:
                    called = [
                        at for at, value in zip(each["Timestamps"], each["Values"], strict=False) if value > 0
                    ]
                    last = max([*called, *([last] if last else [])], default=None)
        calls, tokens_in, tokens_out = sums
        return Asked(calls, tokens_in, tokens_out, last)

    def failed(self, model_ids: Sequence[str], start: datetime, end: datetime) -> dict[str, Failed]:
        """Return by model id how many calls succeeded and failed.

        :param model_ids: a model's id, or a host's ARN; at most 100.
        :raises ServiceError: as `asked`.
        """
        names = ("Invocations", *FAILED)
        begin = start.replace(second=0, microsecond=0)
        over = end.replace(second=0, microsecond=0) + timedelta(minutes=1)
        sums = {model_id: [0.0] * len(names) for model_id in model_ids}
        pages = self.pages(
            "get_metric_data",
            "NextToken",
            MetricDataQueries=_sums(model_ids, names, MINUTE),
            StartTime=begin,
            EndTime=over,
        )
        for page in pages:
            for each in page.get("MetricDataResults", ()):
                number, _, place = str(each["Id"]).removeprefix("m").partition("_")
                sums[model_ids[int(place)]][int(number)] += sum(each.get("Values", ()))
        return {
            model_id: Failed(round(sum(found)), round(sum(found[1:]))) for model_id, found in sums.items()
        }


def _sums(model_ids: Sequence[str], names: Sequence[str], period: int) -> list[dict[str, Any]]:
    """Return one query a model and metric, named by both places; GetMetricData takes 500 of them."""
    return [
        {
            "Id": f"m{number}_{place}",
            "MetricStat": {
                "Metric": {
                    "Namespace": NAMESPACE,
                    "MetricName": name,
                    "Dimensions": [{"Name": "ModelId", "Value": model_id}],
                },
                "Period": period,
                "Stat": "Sum",
            },
        }
        for place, model_id in enumerate(model_ids)
        for number, name in enumerate(names)
    ]

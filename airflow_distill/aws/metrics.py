"""CloudWatch's own count of what Bedrock models are asked: GetMetricData in the namespace `AWS/Bedrock`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from airflow_distill.aws.calls import Gateway

NAMESPACE = "AWS/Bedrock"
NAMES = ("Invocations", "InputTokenCount", "OutputTokenCount")
PERIOD = 3_600


@dataclass(frozen=True, slots=True)
class Asked:
    """What a model or host was asked in a span of time."""

    calls: float
    input_tokens: float
    output_tokens: float
    last: datetime | None
    """The hour of the last call; None when there was none."""


class MetricsGateway(Gateway):
    """`cloudwatch`: metrics that Bedrock writes by itself."""

    def asked(self, model_ids: Iterable[str], start: datetime, end: datetime) -> Asked:
        """Return what was asked under any of these model ids: a model's id, or a host's ARN.

        :raises ServiceError: CloudWatch gave no answer; it is never taken for "nothing asked".
        """
        queries = [
            {
                "Id": f"m{number}_{place}",
                "MetricStat": {
                    "Metric": {
                        "Namespace": NAMESPACE,
                        "MetricName": name,
                        "Dimensions": [{"Name": "ModelId", "Value": model_id}],
                    },
                    "Period": PERIOD,
                    "Stat": "Sum",
                },
            }
            for place, model_id in enumerate(model_ids)
            for number, name in enumerate(NAMES)
        ]
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

"""How the evaluation, the judge and the watch ask a model: each prompt once through Converse, marked as our own call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from airflow_distill.aws.runtime import RuntimeGateway

if TYPE_CHECKING:
    from airflow_distill.stages.dataset.records import Example
    from airflow_distill.stages.evaluation.collect import Ask, Given, Parameters

OWN_TRAFFIC = {"airflow-distill": "evaluation"}
"""Request metadata of our own calls, so that invocation logs can tell them from the product's."""


def asker(runtime: RuntimeGateway, address: str, metadata: Mapping[str, str] = OWN_TRAFFIC) -> Ask:
    """Return a function that asks the model at an address.

    :param metadata: request metadata of each call; the service logs it.
    """
    from airflow_distill.stages.evaluation.collect import Given, converse_messages

    def ask(example: Example, parameters: Parameters) -> Given:
        reply = runtime.converse(
            address,
            messages=converse_messages(example),
            max_tokens=parameters.max_tokens,
            system=example.system,
            temperature=parameters.temperature,
            request_metadata=metadata,
        )
        return Given(
            reply.text,
            reply.stop_reason,
            reply.input_tokens,
            reply.output_tokens,
            float(reply.latency_ms),
            reply.cache_read_tokens,
            reply.cache_write_tokens,
        )

    return ask

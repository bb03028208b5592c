"""What every operator and sensor of the package shares: the hook, error translation and the default retry policy.

Connection parameters are documented here once, and in the reference page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.sdk.exceptions import AirflowFailException

from airflow_distill.aws.gateways import AwsGateways
from airflow_distill.compat import RetryDecision, RetryPolicy
from airflow_distill.errors import DistillError, ServiceConflictError, ServiceQuotaError
from airflow_distill.hooks.bedrock import BedrockDistillHook


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Turn our errors into Airflow's: what no retry can mend fails the task at once.

    :raises AirflowFailException: the error is not retryable.
    """
    try:
        yield
    except DistillError as error:
        if error.retryable or isinstance(error, ServiceQuotaError | ServiceConflictError):
            raise
        raise AirflowFailException(f"{type(error).__name__}: {error}") from error


class DistillRetryPolicy(RetryPolicy):
    """Retries by what the error says: hopeless at once, quotas and conflicts slowly, the rest as the task says.

    :param slow: the pause before asking again after a quota or conflict.
    """

    def __init__(self, slow: timedelta = timedelta(minutes=15)) -> None:
        self.slow = slow

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Any = None
    ) -> RetryDecision:
        if isinstance(exception, ServiceQuotaError | ServiceConflictError):
            return RetryDecision.retry(self.slow)
        if isinstance(exception, DistillError) and not exception.retryable:
            return RetryDecision.fail()
        return RetryDecision.default()


class DistillOperator(AwsBaseOperator[BedrockDistillHook]):
    """Base of the package's operators.

    :param aws_conn_id: the Airflow connection for AWS (templated).
    :param region_name: AWS Region; the connection's when left out (templated).
    :param verify: TLS verification, as the SDK takes it (templated).
    :param botocore_config: settings for the SDK client.
    """

    aws_hook_class = BedrockDistillHook
    template_fields: Sequence[str] = aws_template_fields()

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("retries", 3)
        kwargs.setdefault("retry_delay", timedelta(minutes=1))
        kwargs.setdefault("retry_policy", DistillRetryPolicy())
        super().__init__(**kwargs)

    @property
    def gateways(self) -> AwsGateways:
        """The gateways of this task's connection."""
        return self.hook.gateways

    def execute(self, context: Any) -> Any:
        """Run the operator's own work with errors translated."""
        with airflow_errors():
            return self.work(context)

    def work(self, context: Any) -> Any:
        """What the operator does; returns its receipt as a plain dict."""
        raise NotImplementedError(type(self).__name__)

"""What holds for every operator and sensor of the package: retries, arguments and receipts, mapped or not."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import AirflowFailException

import airflow_distill.operators
import airflow_distill.sensors
from airflow_distill.operators.jobs import BedrockDistillModelOperator, BedrockPutInvocationLoggingOperator
from airflow_distill.operators.task import DistillRetryPolicy, DistillTask, arguments_of
from airflow_distill.sandbox import Sandbox

pytestmark = pytest.mark.airflow


def task_classes() -> Iterator[type[BaseOperator]]:
    for package in (airflow_distill.operators, airflow_distill.sensors):
        for found in pkgutil.iter_modules(package.__path__):
            module = importlib.import_module(f"{package.__name__}.{found.name}")
            for name, cls in vars(module).items():
                ours = inspect.isclass(cls) and cls.__module__ == module.__name__ and not name.startswith("_")
                if ours and issubclass(cls, BaseOperator) and cls is not DistillTask:
                    yield cls


CLASSES = sorted(set(task_classes()), key=lambda cls: cls.__name__)
every_class = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)


def needed(cls: type) -> dict[str, Any]:
    """Return a value for each argument that a class insists on."""
    told: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if "__init__" not in vars(base) or not base.__module__.startswith("airflow_distill"):
            continue
        for parameter in inspect.signature(base.__init__).parameters.values():
            if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
                told[parameter.name] = "1"
    return told


def test_every_task_of_the_package_shares_the_base() -> None:
    assert len(CLASSES) > 30
    assert [cls.__name__ for cls in CLASSES if not issubclass(cls, DistillTask)] == []


@every_class
def test_every_task_retries_by_policy_mapped_or_not(cls: Any) -> None:
    arguments = needed(cls)
    with DAG("d", schedule=None):
        alone = cls(task_id="alone", **arguments)
        mapped = cls.partial(task_id="mapped", **arguments).expand(params=[{}])
    for task in (alone, mapped):
        assert task.retries == 3
        assert task.retry_delay == timedelta(minutes=1)
        assert isinstance(task.retry_policy, DistillRetryPolicy)


@every_class
def test_the_author_and_the_dag_have_the_last_word_on_retries(cls: Any) -> None:
    arguments = needed(cls)
    with DAG("d", schedule=None, default_args={"retries": 1, "retry_delay": timedelta(seconds=5)}):
        tasks = [
            cls(task_id="a", **arguments),
            cls.partial(task_id="b", **arguments).expand(params=[{}]),
        ]
        own = [
            cls(task_id="c", retries=0, retry_policy=None, **arguments),
            cls.partial(task_id="d", retries=0, retry_policy=None, **arguments).expand(params=[{}]),
        ]
    assert {task.retries for task in tasks} == {1}
    assert {task.retry_delay for task in tasks} == {timedelta(seconds=5)}
    assert {task.retries for task in own} == {0}
    assert {task.retry_policy for task in own} == {None}


WRONG = {
    "flag": "perhaps", "number": "many", "whole": "2.5", "span": "soon", "list": '["a"', "mapping": "a=b", "choice": "Stop",
}  # fmt: skip
ARGUMENTS = [
    (cls, name, argument.kind)
    for cls in CLASSES
    for name, argument in sorted(arguments_of(cls).items())
    if argument.kind in WRONG
]


@pytest.mark.parametrize(
    ("cls", "name", "kind"), ARGUMENTS, ids=[f"{cls.__name__}.{name}" for cls, name, _ in ARGUMENTS]
)
def test_text_that_fits_no_argument_is_refused_before_any_work(cls: Any, name: str, kind: str) -> None:
    """No connection is set up here: a task that came past its arguments would fail otherwise."""
    task = cls(task_id="t", **needed(cls))
    setattr(task, name, WRONG[kind])
    with pytest.raises(AirflowFailException, match=f"argument {name} is"):
        task.execute({})


def test_the_arguments_with_a_type_are_known_by_it() -> None:
    kinds = {name: argument.kind for name, argument in arguments_of(BedrockDistillModelOperator).items()}
    assert kinds["wait_for_completion"] == kinds["allow_unlisted_pair"] == kinds["cancel_on_kill"] == "flag"
    assert kinds["wait_timeout"] == kinds["lifetime"] == "span"
    assert kinds["on_deadline"] == "choice"
    assert kinds["max_generations"] == "whole"
    assert kinds["tags"] == kinds["hyperparameters"] == "mapping"
    assert kinds["subnet_ids"] == "list"
    assert kinds["dataset"] == "receipt"


@every_class
def test_every_templated_argument_of_ours_has_a_kind(cls: Any) -> None:
    theirs = {
        "aws_conn_id",
        "region_name",
        "verify",
        "subject",
        "body",
        "options",
        "defaults",
        "params_input",
    }
    told = set(arguments_of(cls)) | theirs
    assert {field for field in cls.template_fields if field not in told} == set()


DAG_TEXT = """\
from datetime import timedelta

from airflow.sdk import DAG, task

from airflow_distill.operators.jobs import BedrockPutInvocationLoggingOperator


class Shows(BedrockPutInvocationLoggingOperator):
    def work(self, context):
        return {{name: repr(getattr(self, name)) for name in ("bucket", "prefix", "configuration", "keep_others")}}


with DAG("shows", schedule=None, render_template_as_native_obj={native}, params={{
    "no": False, "number": "1e5", "shape": {{"a": None}}, "nothing": None,
}}) as dag:
    Shows(
        task_id="show", retries=0, bucket="{{{{ params.nothing }}}}", prefix={prefix!r},
        configuration="{{{{ params.shape }}}}", keep_others="{{{{ params.no }}}}",
    )
"""


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("prefix", ["42", "{{ params.number }}", "007", "0x10", "True"])
def test_both_ways_of_rendering_give_the_same_values(
    native: bool, prefix: str, run_dag: Callable[..., Any]
) -> None:
    run = run_dag(DAG_TEXT.format(native=native, prefix=prefix))
    (shown,) = (ti.xcom_pull(task_ids="show") for ti in run.get_task_instances())
    assert shown == {
        "bucket": "None",
        "prefix": repr("1e5" if "{" in prefix else prefix),
        "configuration": "{'a': None}",
        "keep_others": "False",
    }


MARKED = """\
from airflow.sdk import DAG, task
from airflow.sdk.exceptions import AirflowSkipException

from airflow_distill.operators.dataset import CheckDatasetOperator
from airflow_distill.operators.evaluation import ScoreAnswersOperator
from airflow_distill.operators.jobs import BedrockStopCustomizationJobOperator


@task
def find_it():
    return None


with DAG("marked", schedule=None, render_template_as_native_obj={native}) as dag:
    found = find_it()
    CheckDatasetOperator(task_id="alone", retries=0, dataset=found)
    given = {{"retries": 0, "answers": {{"kind": "answers"}}, "dataset": {{"kind": "dataset"}}}}
    ScoreAnswersOperator(task_id="in_a_list", scores=[found], **given)
    named = BedrockStopCustomizationJobOperator(
        task_id="by_template", retries=0, job="{{{{ ti.xcom_pull('find_it') }}}}"
    )
    found >> named
"""


@pytest.mark.parametrize("native", [False, True])
def test_a_receipt_that_is_missing_is_told_with_the_task_that_should_have_left_it(
    native: bool, run_dag: Callable[..., Any], bedrock_environment: Sandbox, capfd: pytest.CaptureFixture[str]
) -> None:
    run = run_dag(MARKED.format(native=native))
    states = {ti.task_id: str(ti.state) for ti in run.get_task_instances()}
    assert states == {"find_it": "success", "alone": "failed", "in_a_list": "failed", "by_template": "failed"}
    told = capfd.readouterr()
    said = told.out + told.err
    for name in ("dataset", "scores", "job"):
        assert f"argument {name} is empty: find_it left no receipt" in said
    assert "TypeError" not in said


def test_text_false_writes_no_logging_of_others(bedrock_environment: Sandbox) -> None:
    bedrock_environment.prepare()
    bedrock_environment.enable_logging("distill-sandbox", prefix="before")
    receipt = BedrockPutInvocationLoggingOperator(
        task_id="t", configuration='{"s3Config": {"bucketName": "distill-sandbox"}}', keep_others="False"
    ).execute({})
    assert receipt["configuration"] == {"s3Config": {"bucketName": "distill-sandbox"}}

"""What every task of the package does before its own work: retry defaults, arguments read, receipts there.

`DistillTask` stands before the amazon provider's base of an operator or sensor. The annotation of a constructor's
parameter says what its text means; `stages.arguments` reads it. Retry defaults are parameters of the constructor, because
that is where Airflow looks for them, for a task of its own as for one mapped by `partial().expand()`.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, ClassVar

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.xcom_arg import XComArg
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, XComNotFound

from airflow_distill.compat import RetryDecision, RetryPolicy, default_arguments
from airflow_distill.errors import (
    ConfigurationError,
    DiskFullError,
    DistillError,
    ServiceConflictError,
    ServiceQuotaError,
)
from airflow_distill.operators.code_paths import WrittenPaths, written_paths
from airflow_distill.operators.log_lines import LogsByLine
from airflow_distill.operators.note import note_step, noted
from airflow_distill.stages.arguments import READERS, as_choice, is_nothing, plain

_MARKS = ("{{", "{%", "{#")


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Turn our errors into Airflow's: what no retry can mend fails the task at once.

    :raises AirflowFailException: the error is not retryable.
    :raises DiskFullError: the system says that a local disk is full.
    """
    try:
        yield
    except DistillError as error:
        if error.retryable or isinstance(error, ServiceQuotaError | ServiceConflictError):
            raise
        raise AirflowFailException(f"{type(error).__name__}: {error}") from error
    except OSError as error:
        full = DiskFullError.from_os(error)
        if full is None:
            raise
        raise full from error


SKIPPED_ITSELF = "skipped_itself"
"""XCom of a task that has skipped itself; a task that a person or Airflow has skipped leaves none."""


@contextmanager
def noted_skips(context: Any) -> Iterator[None]:
    """Note down that a task skips itself, so that the end of its run can be told from one that a person has ended."""
    try:
        yield
    except AirflowSkipException:
        if "ti" in context:
            context["ti"].xcom_push(key=SKIPPED_ITSELF, value=True)
        raise


class DistillRetryPolicy(RetryPolicy):
    """Retries by what the error says: permanent errors fail at once, quotas and conflicts retry slowly, others as set.

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


@dataclass(frozen=True, slots=True)
class Argument:
    """What a constructor's parameter takes.

    :param kind: a kind of `stages.arguments.READERS`, `choice`, `receipt` (anything) or `either` (a mapping, or text).
    :param optional: None is a value of it.
    :param required: the parameter has no default.
    """

    kind: str
    optional: bool
    required: bool
    default: Any
    choices: tuple[str, ...] = ()

    def read(self, value: Any, name: str) -> Any:
        """Return the value that the argument stands for.

        :raises ConfigurationError: it stands for none.
        """
        if self.kind in ("receipt", "either"):
            return plain(value)
        if is_nothing(value) and (value is None or self.kind != "text" or value.strip()):
            if self.optional or (self.kind in ("list", "mapping", "text") and not self.required):
                return None if self.optional else self.default
            if self.kind in ("list", "mapping"):
                return READERS[self.kind]((), name) if self.kind == "list" else {}
            raise ConfigurationError(
                f"argument {name} is empty ({value!r}).",
                hint="Give it a value; if it is a template, check what it renders to.",
            )
        if self.kind == "choice":
            return as_choice(value, name, self.choices)
        if self.kind in ("list", "mapping") and not isinstance(value, str | bytes | int | float):
            return value
        return READERS[self.kind](value, name)


@cache
def arguments_of(operator: type) -> Mapping[str, Argument]:
    """Return what the templated arguments of an operator or sensor class take, read off its constructors."""
    found: dict[str, Argument] = {}
    for cls in operator.__mro__:
        if "__init__" not in vars(cls) or not issubclass(cls, DistillTask) or cls is DistillTask:
            continue
        parameters = inspect.signature(cls.__init__, eval_str=True).parameters
        for name, parameter in parameters.items():
            if parameter.kind is not parameter.KEYWORD_ONLY or name in found:
                continue
            kind, optional, choices = _kind_of(parameter.annotation)
            required = parameter.default is parameter.empty
            default = None if required else parameter.default
            found[name] = Argument(kind, optional, required, default, choices)
    fields = set(getattr(operator, "template_fields", ()))
    return {name: argument for name, argument in found.items() if name in fields}


def settings_read(record: type, values: Mapping[str, Any] | None, name: str) -> dict[str, Any]:
    """Return the members of a mapping argument as the values that their text stands for, by the types of a record's fields.

    Templates inside a mapping render to text too: `{"redact": "False"}`. Unknown members are left to the record.

    :raises ConfigurationError: a text stands for no value of its field; it names the member, such as `settings.heldout`.
    """
    hints = typing.get_type_hints(record)
    out: dict[str, Any] = {}
    for key, value in dict(values or {}).items():
        annotation = hints.get(key)
        kind, optional, choices = _kind_of(annotation) if annotation is not None else ("receipt", True, ())
        is_word = str in typing.get_args(annotation)
        if isinstance(value, str) and kind in ("flag", "whole", "number", "choice", "list"):
            try:
                value = Argument(kind, optional, True, None, choices).read(value, f"{name}.{key}")
            except ConfigurationError:
                if not is_word:
                    raise
        out[key] = value
    return out


def _kind_of(annotation: Any) -> tuple[str, bool, tuple[str, ...]]:
    members = [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        members = list(typing.get_args(annotation))
    optional = type(None) in members
    members = [member for member in members if member is not type(None)]
    kinds = {_plain_kind(member) for member in members}
    choices = tuple(
        str(word)
        for member in members
        if typing.get_origin(member) is typing.Literal
        for word in typing.get_args(member)
    )
    told = kinds - {"text"} if len(kinds) > 1 else kinds
    kind = told.pop() if len(told) == 1 else "receipt"
    if kind == "mapping" and "text" in kinds:
        kind = "either"
    return kind, optional, choices


def _plain_kind(member: Any) -> str:
    origin = typing.get_origin(member) or member
    named = {bool: "flag", int: "whole", float: "number", str: "text", timedelta: "span"}
    if origin in named:
        return named[origin]
    if origin is typing.Literal:
        return "choice"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "mapping"
    if isinstance(origin, type) and issubclass(origin, Sequence | Collection):
        return "list"
    return "receipt"


class DistillTask(LogsByLine, BaseOperator):
    """Base of the package's operators and sensors, beside the amazon provider's.

    :param retries: how often a failed try is repeated; 3 where neither the author nor `default_args` says otherwise.
    :param retry_delay: the pause between tries; one minute by default.
    :param retry_policy: `DistillRetryPolicy`: permanent errors fail at once, quotas and conflicts retry slowly.
    """

    may_be_missing: ClassVar[frozenset[str]] = frozenset()
    """Arguments whose receipt may be missing, because the operator also does its work without."""
    import_paths: ClassVar[tuple[str, ...]] = ()
    """Arguments that name functions to be imported."""

    def __init__(
        self,
        *,
        retries: int | None = 3,
        retry_delay: timedelta | float = timedelta(minutes=1),
        retry_policy: RetryPolicy | None = DistillRetryPolicy(),  # noqa: B008 it keeps no state
        **kwargs: Any,
    ) -> None:
        super().__init__(retries=retries, retry_delay=retry_delay, retry_policy=retry_policy, **kwargs)

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Return the task to be mapped, with the retry defaults of the constructor.

        Airflow 3.3.0 and 3.3.1 (Amazon MWAA) do not look there for mapped tasks: the scheduler would know of no retries,
        and a shard whose worker was lost would end the run.
        """
        given = default_arguments(kwargs)
        ours = {name: default for name, default in _RETRIES.items() if name not in given}
        # Named here, they are refused in `expand()`.
        written = {
            name: written_paths(kwargs.get(name, given.get(name, ())), name) for name in cls.import_paths
        }
        return super().partial(**{**ours, **kwargs, **written})

    def written_paths(self, value: Any, argument: str) -> WrittenPaths:
        """Return import paths that the Dag's author wrote; of a mapped task, those that `partial()` was given.

        :raises ConfigurationError: they may come from elsewhere, or are no list of `package.module:function`.
        """
        # Set by Airflow on what a mapped task becomes; under no public name.
        is_mapped = getattr(self, "_BaseOperator__from_mapped", False)
        return written_paths(value, argument, is_mapped=is_mapped)

    def settle(self) -> None:
        """Turn rendered arguments into what they stand for; called before any work, and again after a deferral.

        :raises ConfigurationError: an argument stands for nothing that fits, or a receipt is missing.
        """
        for name, argument in arguments_of(type(self)).items():
            value = argument.read(getattr(self, name, None), name)
            if (
                argument.kind == "receipt"
                and argument.required
                and is_nothing(value)
                and name not in self.may_be_missing
            ):
                raise no_receipt(name, sorted(getattr(self, "upstream_task_ids", ())))
            setattr(self, name, value)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Any) -> Any:
        """Go on after a deferral, in a fresh instance whose arguments were rendered anew."""
        with noted_skips(context), noted(self, context, again=True):
            if next_kwargs is None or "traceback" not in next_kwargs:
                with airflow_errors():
                    self.settle()
            receipt = super().resume_execution(next_method, next_kwargs, context)
        note_step(self, context, receipt)
        return receipt

    def execute(self, context: Any) -> Any:
        """Run what stands behind this base, such as a sensor's look."""
        with noted_skips(context):
            return super().execute(context)

    def render_template(
        self, content: Any, context: Any, jinja_env: Any = None, seen_oids: set[int] | None = None
    ) -> Any:
        """Render; text without a template stays text, also where templates render to native values."""
        is_file = isinstance(content, str) and content.endswith(tuple(self.template_ext))
        if isinstance(content, str) and not is_file and not any(mark in content for mark in _MARKS):
            return content
        return super().render_template(content, context, jinja_env, seen_oids)

    def _do_render_template_fields(
        self, parent: Any, template_fields: Any, context: Any, jinja_env: Any, seen_oids: set[int]
    ) -> None:
        """Render; a text argument stays text, and a receipt that another task should have left must be there."""
        render = super()._do_render_template_fields
        if parent is not self:
            return render(parent, template_fields, context, jinja_env, seen_oids)
        given = {name: getattr(self, name, None) for name in template_fields}
        texts = [
            name for name in template_fields if _is_text(type(self), name) and isinstance(given[name], str)
        ]
        others = [name for name in template_fields if name not in texts]
        with airflow_errors():
            with self._as_text(jinja_env) as environment:
                render(parent, texts, context, environment, seen_oids)
            try:
                render(parent, others, context, jinja_env, seen_oids)
            except XComNotFound as error:
                waiting = [task for value in given.values() for task, _ in _references(value)]
                raise no_receipt("", waiting) from error
            for name in others:
                gone = (
                    []
                    if name in self.may_be_missing
                    else list(_missing(given[name], getattr(self, name, None)))
                )
                if gone:
                    raise no_receipt(name, gone)
        return None

    @contextmanager
    def _as_text(self, jinja_env: Any) -> Iterator[Any]:
        """Let templates render to text for a while, also in a Dag that renders them to native values."""
        dag = self.get_dag()
        if dag is None or not self._should_render_native(dag):
            yield jinja_env
            return
        before = getattr(self, "render_template_as_native_obj", None)
        object.__setattr__(self, "render_template_as_native_obj", False)
        try:
            yield dag.get_template_env(force_sandboxed=True)
        finally:
            object.__setattr__(self, "render_template_as_native_obj", before)


_RETRIES: Mapping[str, Any] = {
    name: parameter.default
    for name, parameter in inspect.signature(DistillTask.__init__).parameters.items()
    if name in ("retries", "retry_delay", "retry_policy")
}


def no_receipt(name: str, tasks: Collection[str]) -> ConfigurationError:
    """Return the error for a receipt that a task before this one should have left."""
    told = " or ".join(dict.fromkeys(tasks)) or "the task before it"
    what = f"argument {name}" if name else "an argument"
    return ConfigurationError(
        f"{what} is empty: {told} left no receipt, as a task does that was marked successful by hand.",
        hint=f"Clear {told} and let it run; it adopts what it has bought already.",
    )


def _is_text(operator: type, name: str) -> bool:
    argument = arguments_of(operator).get(name)
    return argument is not None and argument.kind == "text"


def _references(value: Any) -> Iterator[tuple[str, str]]:
    for operator, key in XComArg.iter_xcom_references(value):
        yield str(operator.task_id), str(key)


def _missing(before: Any, after: Any) -> Iterator[str]:
    """Yield the tasks whose receipts were asked for and are None, at any depth of lists and mappings."""
    if isinstance(before, XComArg):
        if after is None:
            yield from (task for task, _ in _references(before))
    elif isinstance(before, Mapping) and isinstance(after, Mapping):
        for name, inner in before.items():
            yield from _missing(inner, after.get(name))
    elif isinstance(before, list | tuple) and isinstance(after, list | tuple):
        for inner, rendered in zip(before, after, strict=False):
            yield from _missing(inner, rendered)


__all__ = [
    "SKIPPED_ITSELF",
    "Argument",
    "DistillRetryPolicy",
    "DistillTask",
    "airflow_errors",
    "arguments_of",
    "no_receipt",
    "noted_skips",
]

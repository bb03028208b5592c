"""Text is never code: what is imported by path stands in the Dag file or the workload file, and is what it should be."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import BaseNotifier

from airflow_distill.errors import ConfigurationError
from airflow_distill.notifications.workload import WorkloadNotifier, notifier_class
from airflow_distill.operators.dataset import CurateDatasetOperator, settings_of
from airflow_distill.operators.evaluation import ScoreAnswersOperator
from airflow_distill.operators.logs import HarvestLogsOperator
from airflow_distill.operators.task import DistillTask
from airflow_distill.operators.watch import WatchStudentOperator
from airflow_distill.operators.workload import ReadPromptsOperator
from airflow_distill.stages.code_paths import DETECTOR, SCORER, load_function
from airflow_distill.stages.dataset.redact import load_detector
from airflow_distill.stages.evaluation.scorers.registry import make_scorer
from airflow_distill.workload.import_check import unfit_paths
from airflow_distill.workload.import_paths import check_detector, check_notifier, check_scorer
from airflow_distill.workload.reading import check_workload

OWN = "tests.security.own_functions"

HOSTILE = [
    "os:system",
    "os:popen",
    "subprocess:getoutput",
    "subprocess:run",
    "builtins:exec",
    "builtins:eval",
    "shutil:rmtree",
    "runpy:run_path",
    "importlib:import_module",
    "pickle:loads",
    "webbrowser:open",
    "pydoc:pipepager",
    f"{OWN}:runs_a_command",
    f"{OWN}:getoutput",
    f"{OWN}:Callable_",
    f"{OWN}:an_object",
    f"{OWN}:needs_more",
]
"""Whatever is called with a prompt here does harm, or is no detector."""

BASE = """\
owner: team
teacher: amazon.nova-pro-v1:0
student: amazon.nova-micro-v1:0:128k
root: s3://acme-distill/loop
role_arn: arn:aws:iam::111122223333:role/distill
logs: {location: s3://acme-logs/bedrock}
budget: {usd_per_run: 50}
"""


def told(folder: Path, more: str) -> list[str]:
    path = folder / "w.yaml"
    path.write_text(BASE + more)
    return [str(problem) for problem in check_workload(path).problems]


# --- functions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", [*HOSTILE, f"{OWN}:needs_a_keyword", "no colon", "a:b:c", "a.b:", ":c", "", None]
)
def test_nothing_but_a_detector_is_loaded_as_one(path: Any) -> None:
    with pytest.raises(ConfigurationError):
        load_detector(path)
    assert not sys.modules.get(OWN) or sys.modules[OWN]._CALLED == [""]


@pytest.mark.parametrize("name", ["find_nothing", "find_cached"])
def test_a_function_of_a_text_is_a_detector(name: str) -> None:
    assert load_function(f"{OWN}:{name}", DETECTOR, "the detector")
    assert check_detector(f"{OWN}:{name}")


@pytest.mark.parametrize("name", ["close_enough", "ignores_all"])
def test_a_function_of_answer_reference_and_example_is_a_scorer(name: str) -> None:
    assert load_function(f"{OWN}:{name}", SCORER, "the scorer")
    assert check_scorer(f"{OWN}:{name}")


@pytest.mark.parametrize("path", [*HOSTILE, f"{OWN}:find_nothing", f"{OWN}:turned_round"])
def test_nothing_but_a_scorer_is_made_one(path: str) -> None:
    with pytest.raises(ConfigurationError):
        make_scorer({"kind": "function", "path": path})


# --- workload files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [p for p in HOSTILE if p != f"{OWN}:an_object"])
def test_a_workload_file_names_no_command(tmp_path: Path, path: str) -> None:
    assert told(tmp_path, f"dataset: {{detectors: ['{path}']}}\n")
    assert told(tmp_path, f"evaluation: {{scorers: [{{kind: function, path: '{path}'}}]}}\n")
    assert told(
        tmp_path, f"alerts: [{{notifier: {path.replace(':', '.')}, arguments: {{args: 'touch x'}}}}]\n"
    )


def test_a_function_that_is_only_imported_is_followed_to_its_module(tmp_path: Path) -> None:
    (line,) = told(tmp_path, f"dataset: {{detectors: ['{OWN}:getoutput']}}\n")
    assert "Python's own library" in line


def test_lint_imports_what_the_source_does_not_tell() -> None:
    asked = [
        ("detector", f"{OWN}:an_object"),
        ("detector", f"{OWN}:find_cached"),
        ("scorer", f"{OWN}:turned_round"),
        ("notifier", "airflow.sdk.BaseNotifier"),
        ("notifier", "airflow.sdk.DAG"),
        ("notifier", "nowhere.Chat"),
    ]
    assert {path for _, path in unfit_paths(asked)} == {
        f"{OWN}:an_object",
        f"{OWN}:turned_round",
        "airflow.sdk.DAG",
        "nowhere.Chat",
    }


@pytest.mark.parametrize(
    ("body", "expected"),
    [("import os\nos._exit(3)\n", "ended the process"), ("raise SystemExit(1)\n", "raises SystemExit")],
)
def test_a_module_that_ends_the_process_is_told_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, expected: str
) -> None:
    (tmp_path / "rude.py").write_text(body + "def find(text): ...\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (message,) = unfit_paths([("detector", "rude:find")]).values()
    assert expected in message


def test_lint_gives_up_on_a_module_that_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (message,) = unfit_paths([("detector", "slow:find")], patience=4).values()
    assert "within 4 s" in message


# --- notifiers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["subprocess.Popen", "os.system", f"{OWN}.Callable_", f"{OWN}.find_nothing", "nowhere.X"]
)
def test_only_a_notifier_is_ever_called(path: str) -> None:
    with pytest.raises(ConfigurationError):
        notifier_class(path)
    with pytest.raises(ConfigurationError):
        WorkloadNotifier("w", "team", "failure", path, {"text": "touch x"}).notify({})


def test_notifiers_are_told_by_their_source_and_absent_ones_left_to_lint() -> None:
    assert check_notifier("airflow_distill.notifications.workload.WorkloadNotifier")
    assert check_notifier("nowhere.Chat")
    assert issubclass(notifier_class("airflow_distill.notifications.workload.WorkloadNotifier"), BaseNotifier)
    for path in ("subprocess.Popen", "airflow_distill.notifications.workload.summary", f"{OWN}.Callable_"):
        with pytest.raises(ValueError, match="notifier"):
            check_notifier(path)


# --- operators ----------------------------------------------------------------------------------------------

PLACE = {"task_id": "t", "workload": "w", "root": "r"}


@pytest.mark.parametrize(
    "settings",
    [{"detectors": ["subprocess:getoutput"]}, {"detectors": []}, {"heldout": 0.2, "detectors": None}],
)
def test_settings_that_may_come_from_a_trigger_name_no_detectors(settings: dict[str, Any]) -> None:
    """The Param `curation` of the example Dag once ran a user's prompt as a shell command."""
    with pytest.raises(ConfigurationError, match="cannot name detectors"):
        settings_of(settings, "salt")
    assert settings_of({"heldout": 0.2}, "salt", (f"{OWN}:find_nothing",)).detectors == (
        f"{OWN}:find_nothing",
    )


@pytest.mark.parametrize("value", ["{{ params.x }}", ["{{ params.x }}"], "os:system", None, [None], {"a": 1}])
def test_operators_take_import_paths_only_as_written(value: Any) -> None:
    makers: list[tuple[type[Any], str, dict[str, Any]]] = [
        (CurateDatasetOperator, "detectors", {"harvest": {}, "teacher": "t", "student": "s"}),
        (HarvestLogsOperator, "detectors", {"logs": "l", "model": "m"}),
        (ReadPromptsOperator, "detectors", {"prompts": "p", "teacher": "t"}),
        (ScoreAnswersOperator, "functions", {"answers": {}, "dataset": {}}),
    ]
    for made, argument, more in makers:
        place = {"task_id": "t"} if made is ScoreAnswersOperator else PLACE
        assert argument not in made.template_fields
        with pytest.raises(ConfigurationError, match="written out in the Dag file"):
            made(**place, **more, **{argument: value})


def test_the_output_of_a_task_is_no_import_path() -> None:
    from airflow.sdk import DAG

    with DAG("d", schedule=None):
        harvest = HarvestLogsOperator(task_id="h", workload="w", root="r", logs="l", model="m")
        with pytest.raises(ConfigurationError):
            HarvestLogsOperator(**PLACE, logs="l", model="m", detectors=harvest.output)  # type: ignore[arg-type]


MAPPABLE: list[tuple[type[Any], str, dict[str, Any]]] = [
    (
        CurateDatasetOperator,
        "detectors",
        {"workload": "w", "root": "r", "teacher": "t", "student": "s", "harvest": {}},
    ),
    (HarvestLogsOperator, "detectors", {"workload": "w", "root": "r", "logs": "l", "model": "m"}),
    (ReadPromptsOperator, "detectors", {"workload": "w", "root": "r", "prompts": "p", "teacher": "t"}),
    (ScoreAnswersOperator, "functions", {"answers": {}, "dataset": {}}),
    (WatchStudentOperator, "detectors", {"workload": "w", "root": "r", "logs": "l", "teacher": "t"}),
    (WatchStudentOperator, "functions", {"workload": "w", "root": "r", "logs": "l", "teacher": "t"}),
]


def unmapped(mapped: Any, values: dict[str, Any]) -> Any:
    """Return what Airflow makes of a mapped task for one set of values that another task handed on."""
    return mapped.unmap(values)


def test_every_argument_that_names_code_is_known_as_one() -> None:
    """An operator that takes import paths and does not say so would take them from anywhere when mapped."""
    import importlib
    import inspect
    import pkgutil

    import airflow_distill.operators

    for item in pkgutil.iter_modules(airflow_distill.operators.__path__, "airflow_distill.operators."):
        for _, found in inspect.getmembers(importlib.import_module(item.name), inspect.isclass):
            if issubclass(found, DistillTask) and "__init__" in vars(found):
                named = {"detectors", "functions"} & set(inspect.signature(found.__init__).parameters)
                assert named == set(found.import_paths), found
    assert all(argument in made.import_paths for made, argument, _ in MAPPABLE)


@pytest.mark.parametrize(("made", "argument", "more"), MAPPABLE, ids=lambda v: getattr(v, "__name__", ""))
def test_a_mapped_task_takes_import_paths_from_the_dag_file_alone(
    made: type[Any], argument: str, more: dict[str, Any]
) -> None:
    from airflow.sdk import DAG

    hostile = [f"{OWN}:find_nothing"]
    with DAG("d", schedule=None):
        before = HarvestLogsOperator(task_id="h", workload="w", root="r", logs="l", model="m")
        for number, value in enumerate((before.output, [hostile])):
            with pytest.raises(TypeError, match=argument):
                made.partial(task_id=f"a{number}", **more).expand(**{argument: value})
        with pytest.raises(ConfigurationError, match="written out in the Dag file"):
            made.partial(task_id="b", **{**more, argument: before.output})
        strict = made.partial(task_id="c", **more).expand_kwargs(before.output)
        loose = made.partial(task_id="e", **more).expand_kwargs(before.output, strict=False)
        known = made.partial(task_id="g", **{**more, argument: hostile}).expand_kwargs(before.output)
    for mapped, error in ((strict, TypeError), (loose, ConfigurationError), (known, TypeError)):
        for value in (hostile, ["subprocess:getoutput"], tuple(hostile)):
            with pytest.raises(error):
                unmapped(mapped, {argument: value})
    assert getattr(unmapped(known, {}), argument) == tuple(hostile)
    assert getattr(unmapped(strict, {}), argument) == ()


def test_default_arguments_of_the_dag_name_code_for_mapped_tasks_too() -> None:
    from airflow.sdk import DAG

    paths = [f"{OWN}:find_nothing"]
    with DAG("d", schedule=None, default_args={"detectors": paths}):
        mapped = HarvestLogsOperator.partial(task_id="h", workload="w", root="r", model="m").expand(
            logs=["a"]
        )
    assert unmapped(mapped, {"logs": "a"}).detectors == tuple(paths)


@pytest.mark.parametrize("metrics", [[{"kind": "function", "path": f"{OWN}:close_enough"}]])
def test_metrics_name_only_functions_that_the_dag_names(metrics: list[Any]) -> None:
    """`metrics` is templated, so a trigger may choose it."""
    scored = ScoreAnswersOperator(task_id="t", answers={}, dataset={}, metrics=metrics)
    with pytest.raises(ConfigurationError, match="named in the Dag file"):
        scored.work({})
    allowed = ScoreAnswersOperator(
        task_id="t", answers={}, dataset={}, metrics=metrics, functions=[f"{OWN}:close_enough"]
    )
    with pytest.raises(ConfigurationError, match="answers"):  # past the functions, at the missing receipt
        allowed.work({})


def test_a_trigger_of_the_example_dags_cannot_name_what_is_imported() -> None:
    """Every Param has a schema, and curation's knows neither detectors nor redaction nor the salt."""
    import importlib.util

    for path in sorted(Path("dags").glob("*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        dags = [v for v in vars(module).values() if type(v).__name__ == "DAG"]
        for dag in dags or [
            op.dag for op in vars(module).values() if hasattr(op, "dag") and hasattr(op, "task_id")
        ]:
            for name in dag.params:
                schema = dag.params.get_param(name).schema
                assert "type" in schema or "enum" in schema, f"{path}: {name}"
    loop = importlib.util.spec_from_file_location("loop", "dags/distill_from_invocation_logs.py")
    assert loop is not None
    assert loop.loader is not None
    module = importlib.util.module_from_spec(loop)
    loop.loader.exec_module(module)
    param = module.curate.dag.params.get_param("curation")
    for hostile in (
        {"detectors": ["os:system"]},
        {"redact": False},
        {"salt": "other"},
        {"heldout": "0.5"},
        [],
    ):
        with pytest.raises(Exception, match="Failed validating"):
            param.resolve(hostile)
    assert param.resolve({"heldout": 0.25}) == {"heldout": 0.25}

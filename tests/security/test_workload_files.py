"""One bad file is one bad Dag: whatever a workload file holds costs little and stops no other."""

from __future__ import annotations

import ast
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from airflow_distill.stages.shown import one_line
from airflow_distill.workload import yaml_bounds
from airflow_distill.workload.config import Workload, is_cron
from airflow_distill.workload.reading import check_folder, check_workload, parse_text
from airflow_distill.workload.source import dag_source, docstring
from airflow_distill.workload.template import scalar, workload_text
from tests.security.cases import SEEN

BASE = """\
owner: team
teacher: amazon.nova-pro-v1:0
student: amazon.nova-micro-v1:0:128k
root: s3://acme-distill/loop
role_arn: arn:aws:iam::111122223333:role/distill
logs:
  location: s3://acme-logs/bedrock
budget:
  usd_per_run: 50
"""


def laughs(levels: int) -> str:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]" for i in range(1, levels + 1)]
    return "\n".join(lines) + "\n"


def laughing_mappings(levels: int) -> str:
    lines = ["a0: &a0 {x: 1, y: 2}"]
    lines += [f"a{i}: &a{i} {{p: *a{i - 1}, q: *a{i - 1}, r: *a{i - 1}}}" for i in range(1, levels + 1)]
    return "\n".join(lines) + "\n"


HOSTILE: dict[str, str] = {
    "aliases of aliases": laughs(6),
    "more aliases of aliases": laughs(30),
    "aliases of mappings": laughing_mappings(25),
    "aliases of mappings in a place for anything": BASE
    + "alerts:\n- notifier: a.b\n  arguments:\n"
    + "".join("    " + line + "\n" for line in laughing_mappings(25).splitlines()),
    "aliases merged": "a0: &a0 {x: 1}\n"
    + "".join(f"a{i}: &a{i} {{<<: [{','.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 9)),
    "an alias that holds itself": BASE + "tags: &a\n  x: *a\n",
    "an alias that holds itself as a key": "? &a [*a]\n: 1\n",
    "brackets": "[" * 200_000,
    "braces": "{" * 200_000,
    "brackets of a value": BASE + "tags: " + "[" * 5_000 + "]" * 5_000 + "\n",
    "dashes": "- " * 100_000,
    "question marks": "? " * 100_000,
    "indentation": "".join(" " * i + "a:\n" for i in range(600)),
    "a long integer": BASE.replace("50", "9" * 5_000),
    "a long hexadecimal integer": BASE + "dataset:\n  size: 0x" + "f" * 200_000 + "\n",
    "a number in base 60": BASE + "dataset:\n  size: " + ":".join(["1"] * 3_000) + "\n",
    "a short number in base 60": BASE + "dataset:\n  size: 1:30\n",
    "infinity": BASE.replace("50", ".inf"),
    "no number": BASE.replace("50", ".nan"),
    "a large float": BASE.replace("50", "1e400"),
    "a large sum": BASE.replace("50", "1.0e+30"),
    "a price without end": BASE + "  student_prices: {training: .inf}\n",
    "a negative price": BASE + "  student_prices: {training: -1.0}\n",
    "a long duration": BASE + "job:\n  deadline: " + "9" * 30 + "w\n",
    "a longer duration": BASE + "job:\n  deadline: " + "9" * 200_000 + "w\n",
    "a date that is none": BASE + "description: 2026-99-99\n",
    "a tag of Python": BASE + "description: !!python/object/apply:os.system ['touch pwned']\n",
    "an unknown tag": BASE + "description: !x y\n",
    "two documents": BASE + "---\n" + BASE,
    "a list": "- a\n",
    "a text": "hello\n",
    "nothing": "",
    "a comment": "# only\n",
    "bytes that are no text": "\udcff\udcfe",
    "a null": BASE + 'description: "a\\0b"\n',
    "an escape": BASE + 'description: "a\\e]52;c;x\\a"\n',
    "a turned direction": BASE + 'description: "a\\u202Eb"\n',
    "a long text": BASE + "description: " + "x" * 100_000 + "\n",
    "a template": BASE + "description: '{{ conn.aws_default.password }}'\n",
    "a template in metadata": BASE + "dataset: {balance_by: 'metadata:{{ var.value.x }}'}\n",
    "a statement": BASE + "description: '{% for x in y %}'\n",
    "a template in a key": BASE + "tags: {'{{ x }}': y}\n",
    "a template in a notifier": BASE
    + "alerts: [{notifier: a.b, arguments: {text: '{{ conn.aws_default.password }}'}}]\n",
    "a call in a notifier": BASE
    + "alerts: [{notifier: a.b, arguments: {text: '{{ distill.summary.__class__ }}'}}]\n",
    "a filter in a notifier": BASE
    + "alerts: [{notifier: a.b, arguments: {text: '{{ run_id | attr(1) }}'}}]\n",
    "no cron": BASE + "schedule: {cron: '0 25 * * *'}\n",
    "a cron with code": BASE + 'schedule: {cron: \'0"+str(__import__("os").getpid())+" 3 * * 1\'}\n',
    "an alias of cron": BASE + "schedule: {cron: '@x\" + y + \"'}\n",
    "an owner that is no tag": BASE.replace("team", "équipe#1"),
    "a long owner": BASE.replace("owner: team", "owner: " + "x" * 200),
    "a tag that is none": BASE + "tags: {team: 'a#1'}\n",
    "any place": BASE.replace("acme-logs/bedrock", "acme-logs/*"),
    "an odd Region": BASE + "region_name: 'evil.example/#'\n",
    "a surrogate": BASE + 'description: "\\uD800"\n',
    "keys that are no text": BASE + "1: 2\n[a]: b\n",
    "a merge of nothing": BASE + "tags: {<<: 1}\n",
}


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return path


@pytest.mark.parametrize("kind", sorted(HOSTILE))
def test_a_hostile_file_is_told_in_no_time(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, "w.yaml", HOSTILE[kind])
    start = time.process_time()
    found = check_workload(path)
    assert time.process_time() - start < 2
    assert found.workload is None
    assert found.problems
    for problem in found.problems:
        assert one_line(problem) == str(problem)
        assert len(str(problem)) <= 1_000
        assert problem.mark.line >= 1


def test_a_hostile_file_takes_no_memory(tmp_path: Path) -> None:
    """In a process of its own with 1 GB of addresses: a failure would end the tests."""
    for number, text in enumerate(HOSTILE.values()):
        write(tmp_path, f"w{number}.yaml", text)
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
        "from airflow_distill.workload.reading import check_folder\n"
        "print(sum(read.workload is None for read in check_folder(sys.argv[1])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout.strip()) == (0, str(len(HOSTILE)))


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "nowhere.yaml").symlink_to(tmp_path / "absent")
    (tmp_path / "endless.yaml").symlink_to("/dev/zero")
    (tmp_path / "large.yaml").write_bytes(b"#" * 10_000_000)
    found = check_folder(tmp_path)
    assert len(found) == 5
    assert all(read.workload is None for read in found)


def test_build_dags_shows_a_dag_for_every_bad_file_and_keeps_the_others(tmp_path: Path) -> None:
    from airflow_distill.pipelines import build_dags

    for number, text in enumerate(HOSTILE.values()):
        write(tmp_path, f"bad{number}.yaml", text)
    write(tmp_path, "good.yaml", BASE)
    write(tmp_path, "guards.yaml", BASE)  # its Dag would take the place of the guards'
    (tmp_path / "deep").mkdir()
    write(tmp_path, "deep/good.yaml", BASE)  # the same name again
    write(tmp_path, "deep/bad1.yaml", "[")  # the same file name again
    write(tmp_path, 'x"""+str(1)+""" é\n.yaml', "[")
    write(tmp_path, "y" * 240 + ".yaml", "[")
    dags = build_dags(tmp_path)
    assert len(dags) == len(HOSTILE) + 7
    broken = [dag for dag in dags.values() if "broken" in dag.tags]
    assert len(broken) == len(HOSTILE) + 5
    assert "broken" not in dags["distill_good"].tags
    assert "lifecycle_good" in dags["distill_guards"].task_dict
    for dag in broken:
        assert dag.description is not None
        assert dag.description.startswith("The workload file is wrong: ")
        assert dag.doc_md is not None
        assert len(dag.doc_md) < 40_000
        assert [task.task_id for task in dag.tasks] == ["report_problems"]


def test_a_dag_that_airflow_refuses_is_one_broken_dag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_distill.pipelines import build_dags, dag_factory

    made = dag_factory.loop_groups

    def refuse(workload: Workload) -> Any:
        if workload.name == "bad":
            raise RuntimeError("no such thing\x1b[31m")
        return made(workload)

    monkeypatch.setattr(dag_factory, "loop_groups", refuse)
    write(tmp_path, "bad.yaml", BASE)
    write(tmp_path, "good.yaml", BASE)
    dags = build_dags(tmp_path)
    assert sorted(dags) == ["distill_bad", "distill_good", "distill_guards"]
    assert "RuntimeError" in str(dags["distill_bad"].description)
    assert "\x1b" not in str(dags["distill_bad"].doc_md)


settings_text = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_reading_never_raises_whatever_the_settings_are(tmp_path: Path, data: st.DataObject) -> None:
    base = yaml.safe_load(BASE)
    names = [*Workload.model_fields, "nonsense"]
    for _ in range(data.draw(st.integers(1, 4))):
        base[data.draw(st.sampled_from(names))] = data.draw(settings_text)
    path = tmp_path / "w.yaml"
    path.write_text(yaml.safe_dump(base, allow_unicode=True), encoding="utf-8", errors="surrogatepass")
    found = check_workload(path)
    assert (found.workload is None) == bool(found.problems)
    assert all(one_line(problem) == str(problem) for problem in found.problems)
    assert not any("cannot be understood" in problem.message for problem in found.problems)
    SEEN["workload files, settings"] += 1


@settings(max_examples=200, deadline=None)
@given(text=st.text(alphabet="[]{}-?:&*!|>'\"%@`#, \n\tab1.", max_size=200))
def test_parsing_never_raises_whatever_the_text_is(text: str) -> None:
    document = parse_text(text, "w.yaml")
    assert document.data or document.problems or not document.data
    SEEN["workload files, YAML"] += 1


def test_a_bound_counts_aliases_by_what_they_stand_for() -> None:
    assert yaml_bounds.bounded_node("a: &a [1, 2]\nb: [*a, *a]\n") is not None
    wide = "a: &a [" + ",".join("1" * 1) + ",1" * 999 + "]\nb: [" + ",".join(["*a"] * 30) + "]\n"
    with pytest.raises(yaml_bounds.OutOfBoundsError, match="20,000 values"):
        yaml_bounds.bounded_node(wide)


@pytest.mark.parametrize(
    "text", ["0 3 * * 1", "*/5 0-6 1,15 jan-mar mon", "@daily", "0 0 * * 5#2", "0 0 l * *", "5 4 * * 7"]
)
def test_a_cron_expression_is_one(text: str) -> None:
    assert is_cron(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "* * * *",
        "60 * * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "*/0 * * * *",
        "@once upon",
        "a b c d e",
    ],
)
def test_what_is_no_cron_expression_is_refused(text: str) -> None:
    assert not is_cron(text)


# --- eject and init -----------------------------------------------------------------------------------------

TEXTS = [
    'x"""; __import__("os").system("id"); """',
    "x'''; __import__('os'); '''",
    'ends in a quote"',
    "ends in a backslash\\",
    'a\nb\\"""+__import__(\'os\')+"""',
    "{name} %s {0}",
    "é 日本 \u2028 line",
]


def calls_in(source: str) -> set[str]:
    tree = ast.parse(source)
    return {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}


@pytest.mark.parametrize("text", TEXTS)
def test_ejected_code_holds_values_as_values(tmp_path: Path, text: str) -> None:
    data = yaml.safe_load(BASE) | {
        "name": "w",
        "description": text,
        "alerts": [{"notifier": "a.b", "arguments": {text: text, "nested": [text, {text: 1}]}}],
        "logs": {"location": "s3://acme-logs/bedrock", "identity": text},
        "dataset": {"salt": text},
        "evaluation": {"scorers": ["exact"], "slices": [text]},
    }
    source = dag_source(Workload.model_validate(data), text)
    assert "__import__" not in calls_in(source)
    held = {node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)}
    assert text.strip() in held


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("field", ["teacher", "student"])
def test_a_model_is_an_id_and_nothing_else(field: str, text: str) -> None:
    with pytest.raises(ValidationError, match=field):
        Workload.model_validate(yaml.safe_load(BASE) | {"name": "w", field: text})


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=60))
def test_a_docstring_says_exactly_its_text(text: str) -> None:
    source = docstring(text, "more") + "\nx = 1\n"
    tree = ast.parse(source.encode("utf-8", "backslashreplace"))
    assert [type(node).__name__ for node in tree.body] == ["Expr", "Assign"]
    assert (
        ast.literal_eval(docstring(text, "more").encode("utf-8", "backslashreplace").decode())
        == f"{text}\n\nmore\n"
    )


@settings(max_examples=300, deadline=None)
@given(
    text=st.text(max_size=60)
    | st.sampled_from([*TEXTS, "yes", "1", "1:30", "~", "a: b", "a #b", "- a", "{a", ""])
)
def test_a_new_file_says_what_it_was_asked_to_say(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    assert yaml.safe_load(scalar(text)) == text
    read = yaml.safe_load(workload_text(text or "w", owner=text))
    assert read["owner"] == text
    assert read["logs"]["metadata"]["equals"] == {"app": text or "w"}


# --- lint ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["kundenöl", "“support”", "team#1", "a,b", "x" * 257])
@pytest.mark.parametrize(
    "shape",
    [
        "equals: {app: V}",
        "notEquals: {app: V}",
        "andAll: [{equals: {app: V}}]",
        "orAll: [{notEquals: {V: x}}]",
    ],
)
def test_lint_refuses_a_filter_that_the_harvest_will_refuse(tmp_path: Path, value: str, shape: str) -> None:
    more = f"  metadata:\n    {shape.replace('V', repr(value))}\n"
    path = write(tmp_path, "w.yaml", BASE.replace("bedrock\n", f"bedrock\n{more}"))
    (problem,) = check_workload(path).problems
    assert problem.setting == "logs.metadata"
    assert "letters, digits" in problem.message


@pytest.mark.parametrize("end", ["/../other", "/..", "/./x", "/.", "/a/../../b"])
@pytest.mark.parametrize("place", ["s3://acme-distill/loop", "s3://acme-logs/bedrock"])
def test_a_place_leads_nowhere_else(tmp_path: Path, place: str, end: str) -> None:
    """S3 takes `..` as a name, a disk and a browser as the way out of a folder; a policy would be for the wrong one."""
    path = write(tmp_path, "w.yaml", BASE.replace(place, place + end))
    (problem,) = check_workload(path).problems
    assert "one place" in problem.message


@pytest.mark.parametrize("name", ["a..b", "v1.2", "...x"])
def test_dots_within_a_name_are_a_name(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, "w.yaml", BASE.replace("s3://acme-distill/loop", f"s3://acme-distill/{name}"))
    assert not check_workload(path).problems


@pytest.mark.parametrize(
    "more",
    [
        "job: {kms_key: 'not a key'}\n",
        "job: {vpc: {subnets: ['subnet 1'], security_groups: [sg-1]}}\n",
        "policy: {metrics: {exact: {margin: 0.1, primary: false}}}\n",
        "dataset: {detectors: ['tests.security.own_functions:an_object']}\n",
        "alerts: [{notifier: airflow.sdk.DAG}]\n",
    ],
)
def test_lint_tells_what_a_run_would_stumble_over(
    tmp_path: Path, more: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from airflow_distill.cli.main import main

    path = write(tmp_path, "w.yaml", BASE + more)
    assert main(["workload", "lint", str(path)]) == 1
    assert "1 problem" in capsys.readouterr().out


def test_the_limits_leave_room_for_real_files() -> None:
    for path in sorted(Path("dags/workloads").rglob("*.yaml")):
        if path.name != "defaults.yaml":
            assert check_workload(path).problems == ()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0


@pytest.mark.parametrize("end", ["*", "a?", "${aws:username}", "a\nb", "a b", "{x}", "ö", "a" * 600])
@pytest.mark.parametrize("which", ["role_arn", "evaluation_role_arn"])
def test_a_role_is_one_role_and_no_pattern(tmp_path: Path, which: str, end: str) -> None:
    """The roles stand in the policy that says which ones Airflow may hand to Bedrock."""
    role = f"arn:aws:iam::111122223333:role/{end}"
    text = yaml.safe_dump({**yaml.safe_load(BASE), which: role}, allow_unicode=True)
    problems = check_workload(write(tmp_path, "w", text)).problems
    assert [problem.setting for problem in problems] == [which], problems


NO_MODELS = [
    "*",
    "amazon.*",
    "amazon.nova?pro",
    "a; rm -rf /",
    "../x",
    "=cmd|' /C calc'!A0",
    "a\nb",
    "[red]a",
    "a" * 3_000,
]


@pytest.mark.parametrize("model", NO_MODELS)
@pytest.mark.parametrize("place", ["teacher", "student", "evaluation.judge", "lifecycle.successor"])
def test_a_model_is_one_model_and_no_pattern(tmp_path: Path, place: str, model: str) -> None:
    """Also where any pair is allowed: a `*` would let the printed policies ask every model."""
    settings: dict[str, Any] = {**yaml.safe_load(BASE), "allow_unlisted_pair": True}
    settings["deployment"] = {"host": "custom-model-deployment"}
    group, _, name = place.rpartition(".")
    (settings.setdefault(group, {}) if group else settings)[name] = model
    problems = check_workload(write(tmp_path, "w", yaml.safe_dump(settings))).problems
    assert place in {problem.setting for problem in problems}, problems


@pytest.mark.parametrize("break_", ["\n", "\r", "\t", "\u2028", "\u0085", "\u00a0"])
def test_an_owner_and_a_tag_stand_on_one_line(tmp_path: Path, break_: str) -> None:
    for more in (
        {"owner": f"te{break_}am"},
        {"tags": {"unit": f"a{break_}b"}},
        {"tags": {f"a{break_}b": "x"}},
    ):
        text = yaml.safe_dump({**yaml.safe_load(BASE), **more})
        problems = check_workload(write(tmp_path, "w", text)).problems
        assert problems, more


@pytest.mark.parametrize("key", ["AIRFLOW-DISTILL:workload", "Airflow-Distill:owner", "AWS:x", "k" * 129])
def test_no_tag_takes_the_place_of_ours_in_other_letters(tmp_path: Path, key: str) -> None:
    """IAM reads the keys of tags without regard to case, so such a tag could stand for the workload's own."""
    text = yaml.safe_dump({**yaml.safe_load(BASE), "tags": {key: "other"}})
    problems = check_workload(write(tmp_path, "w", text)).problems
    assert [problem.setting for problem in problems] == ["tags"], problems

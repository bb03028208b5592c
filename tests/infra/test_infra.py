"""The Terraform module and the CDK construct deploy the documents that `airflow-distill iam` prints, byte for byte.

Terraform and Node are run where they are installed. The AWS provider comes from Terraform's registry: where that cannot be
reached, the whole module is only parsed, and what turns documents into policies, which needs no provider, is applied.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.cli.main import main
from airflow_distill.stages.digest import canonical_json

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "infra" / "terraform"
CDK = ROOT / "infra" / "cdk"
WORKLOAD = """\
owner: support
root: s3://acme-distill/loop
role_arn: arn:aws:iam::111122223333:role/distill-customization
evaluation_role_arn: arn:aws:iam::111122223333:role/distill-evaluation
teacher: amazon.nova-pro-v1:0
student: amazon.nova-micro-v1:0:128k
logs: {location: s3://acme-logs/bedrock, metadata: {equals: {app: tickets}}}
evaluation: {judge: us.meta.llama3-3-70b-instruct-v1:0, scorers: [label_accuracy]}
policy: {margin: 0.05}
budget: {usd_per_run: 60}
"""

needs_terraform = [
    pytest.mark.infra,
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("terraform") is None, reason="terraform is not installed"),
]
needs_node = [
    pytest.mark.infra,
    pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed"),
]


@pytest.fixture
def workload(tmp_path: Path) -> Path:
    file = tmp_path / "tickets.yaml"
    file.write_text(WORKLOAD)
    return file


def printed(workload: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    assert main(["iam", "--workload", str(workload), *more]) == 0
    return dict(json.loads(capsys.readouterr().out))


@pytest.fixture
def iam_file(workload: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    file = tmp_path / "iam.json"
    file.write_text(json.dumps(printed(workload, capsys)))
    return file


@pytest.fixture
def digests(workload: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    return printed(workload, capsys, "--digests")


def run(*words: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "TF_IN_AUTOMATION": "1",
        "CI": "true",
        "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
    }
    return subprocess.run(
        words, cwd=cwd, env=environment | more, capture_output=True, text=True, check=False, timeout=400
    )


def done(*words: str, cwd: Path) -> str:
    out = run(*words, cwd=cwd)
    assert out.returncode == 0, out.stdout[-2000:] + out.stderr[-2000:]
    return out.stdout


def test_the_printed_digests_are_those_of_the_printed_documents(
    iam_file: Path, digests: dict[str, str]
) -> None:
    documents = json.loads(iam_file.read_text())
    assert {name: hashlib.sha256(canonical_json(d)).hexdigest() for name, d in documents.items()} == digests


def test_one_document_has_one_digest(
    workload: Path, digests: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    name = "customization-role-trust"
    assert printed(workload, capsys, "--document", name, "--digests") == {name: digests[name]}


def copied(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns("node_modules", ".terraform*", "cdk.out"))
    return to


class TestTerraform:
    pytestmark = needs_terraform

    def test_the_files_are_formatted_and_parse(self) -> None:
        done("terraform", "fmt", "-check", "-recursive", str(MODULE), cwd=ROOT)

    def test_the_module_deploys_what_the_command_line_prints(
        self, iam_file: Path, digests: dict[str, str], tmp_path: Path
    ) -> None:
        folder = copied(MODULE / "documents", tmp_path / "documents")
        done("terraform", "init", "-input=false", cwd=folder)
        done("terraform", "validate", cwd=folder)
        done("terraform", "apply", "-auto-approve", "-input=false", f"-var=iam_file={iam_file}", cwd=folder)
        outputs = {
            n: o["value"] for n, o in json.loads(done("terraform", "output", "-json", cwd=folder)).items()
        }
        assert outputs["digests"] == digests
        assert outputs["has_evaluation_role"] is True
        used = {
            **outputs["customization_policies"],
            **outputs["evaluation_policies"],
            **outputs["airflow_policies"],
        }
        others = {"customization-role-trust", "evaluation-role-trust", "log-bucket-policy"}
        assert set(used) | others == set(digests)

    def test_the_whole_module_is_valid(self, tmp_path: Path) -> None:
        folder = copied(MODULE, tmp_path / "module")
        out = run("terraform", "init", "-backend=false", "-input=false", "-no-color", cwd=folder)
        if out.returncode != 0 and "registry" in out.stdout + out.stderr:
            pytest.skip("Terraform's registry cannot be reached, so the AWS provider is not there")
        assert out.returncode == 0, out.stderr
        done("terraform", "validate", cwd=folder)


def test_every_document_is_used_by_the_module_and_every_variable_is_described() -> None:
    main_file = (MODULE / "main.tf").read_text()
    for used in ("customization-role-trust", "evaluation-role-trust", "log-bucket-policy"):
        assert f'module.documents.json["{used}"]' in main_file
    variables = re.findall(
        r'variable "(\w+)" \{(.*?)^\}', (MODULE / "variables.tf").read_text(), re.DOTALL | re.MULTILINE
    )
    assert [name for name, body in variables if "description" not in body] == []
    assert [name for name, _ in variables if f"var.{name}" not in main_file] == []


def test_both_keep_what_a_rollback_needs(tmp_path: Path) -> None:
    """Neither may expire releases, evidence, decisions or fingerprints."""
    for file in (MODULE / "main.tf", CDK / "lib" / "distill-workload.js"):
        text = file.read_text()
        rules = re.search(r"(?:expires|EXPIRES) = \{(.*?)\}", text, re.DOTALL)
        assert rules is not None
        assert set(re.findall(r"(\w+)\s*[:=]\s*\d+", rules[1])) == {
            "windows",
            "datasets",
            "evaluations",
            "jobs",
        }


class TestCdk:
    pytestmark = needs_node

    def test_the_stack_deploys_what_the_command_line_prints(
        self, iam_file: Path, digests: dict[str, str], tmp_path: Path
    ) -> None:
        folder = copied(CDK, tmp_path / "cdk")
        done("npm", "ci", "--silent", "--no-audit", "--no-fund", cwd=folder)
        context = {"iam": iam_file, "workload": "tickets", "dataBucket": "acme-distill", "rootPrefix": "loop"}
        context |= {"logBucket": "acme-logs", "airflowRoleName": "airflow"}
        words = [word for name, value in context.items() for word in ("-c", f"{name}={value}")]
        done("npx", "--no-install", "cdk", "synth", "--quiet", "-o", "out", *words, cwd=folder)
        (template,) = (folder / "out").glob("*.template.json")
        resources = json.loads(template.read_text())["Resources"].values()
        found = {
            canonical_json(document) for each in resources for document in documents_in(each["Properties"])
        }
        assert {hashlib.sha256(d).hexdigest() for d in found} >= set(digests.values())
        kinds = [each["Type"] for each in resources]
        for kind, count in {
            "AWS::CloudWatch::Alarm": 2,
            "AWS::Budgets::Budget": 1,
            "AWS::S3::Bucket": 2,
        }.items():
            assert kinds.count(kind) == count, kind
        outputs = json.loads(template.read_text())["Outputs"]
        assert any(
            json.loads(o["Value"]) == digests for o in outputs.values() if str(o["Value"]).startswith("{")
        )


def documents_in(value: Any) -> list[Any]:
    """Return every policy document in a resource's properties."""
    if isinstance(value, dict):
        here = [value] if value.get("Version") == "2012-10-17" else []
        return here + [d for inner in value.values() for d in documents_in(inner)]
    if isinstance(value, list):
        return [d for inner in value for d in documents_in(inner)]
    return []

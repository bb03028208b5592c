"""The printed roles against the package's own calls, heard on the wire: nothing is missing, and nothing is printed unused.

Here is what no loop in Airflow calls: releases and their ways back, reaper, doctor, lists, quotas, prices, customer keys.
Whole loops are held to the same roles in `tests/pipelines` and `tests/dags`, jobs that judge and answer by batch in
`tests/operators/test_evaluation_jobs.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.aws.customization import customization_wish
from airflow_distill.aws.doctor import doctor
from airflow_distill.aws.learn import learn
from airflow_distill.aws.models import compare_with_account
from airflow_distill.aws.owned import only_ours
from airflow_distill.aws.profiles import ProfileLookup
from airflow_distill.aws.quotas import rooms
from airflow_distill.aws.reap import remove_finds, survey_account
from airflow_distill.aws.remote_work import WORK
from airflow_distill.aws.repair import withdraw
from airflow_distill.aws.verify import verify_workload
from airflow_distill.remote.ownership import Owner
from airflow_distill.remote.submit import find_adopt_or_submit
from airflow_distill.sandbox import Sandbox
from airflow_distill.stages.deployment.reap import ReapRules
from airflow_distill.stages.deployment.records import HostWish
from airflow_distill.stages.evaluation.batch import BatchSpec, build_batch_request
from airflow_distill.stages.evaluation.jobs import EvaluationJobSpec, build_evaluation_request
from airflow_distill.stages.jobs.preflight import Preflight
from airflow_distill.stages.jobs.spec import make_spec
from airflow_distill.stages.logs.surplus import forget_bounds
from airflow_distill.stages.model_table import packaged
from airflow_distill.workload.config import Workload
from airflow_distill.workload.iam import Keys, documents
from airflow_distill.workload.reading import read_workload
from airflow_distill.workload.turn import Runner, Turns
from tests.release_world import Rambles, ReleaseWorld, wish_for_throughput
from tests.wire import Wire, listen
from tests.workload.policies import evaluate

ROLE = "arn:aws:iam::123456789012:role/distill-sandbox"
EXAMPLES = sorted((Path(__file__).parents[2] / "dags" / "workloads").glob("[!d]*.yaml"))
FILE = """\
owner: platform
teacher: amazon.nova-pro-v1:0
student: amazon.nova-micro-v1:0:128k
root: s3://distill-sandbox/loop
role_arn: arn:aws:iam::123456789012:role/distill-sandbox
evaluation_role_arn: arn:aws:iam::123456789012:role/distill-sandbox
region_name: us-east-1
logs: {location: s3://distill-sandbox/bedrock}
evaluation: {judge: us.anthropic.claude-haiku-4-5-20251001-v1:0}
budget: {usd_per_run: 50}
"""


@pytest.fixture
def world(bedrock_sandbox: Sandbox) -> ReleaseWorld:
    return ReleaseWorld(bedrock_sandbox)


HEARD: set[str] = set()
"""Actions that the tests of this file have heard, for the last of them."""


@pytest.fixture
def wire(world: ReleaseWorld, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    found = listen(world.sandbox, monkeypatch)
    yield found
    HEARD.update(found.used())


@pytest.fixture
def workload(tmp_path: Path) -> Workload:
    path = tmp_path / "support_tickets.yaml"
    path.write_text(FILE)
    return read_workload(path)


def airflow(workload: Workload, **more: Any) -> list[Any]:
    """Return the documents of Airflow's identity."""
    found = documents(workload, **more)
    return [document for name, document in found.items() if name.startswith("airflow-policy")]


def spec_of(workload: Workload, world: ReleaseWorld, method: str = "distillation") -> Any:
    tuned = method == "fine-tuning"
    return make_spec(
        workload=workload.name,
        root=workload.root,
        role_arn=workload.role_arn,
        teacher=workload.teacher,
        student=workload.student,
        method=method,  # type: ignore[arg-type]
        dataset={
            "dataset_id": world.dataset_id,
            "train_uri": f"{workload.root}/{workload.name}/datasets/{world.dataset_id}/train.jsonl",
            "train_records": 500,
            "with_answers": tuned,
        },
        tags={
            "airflow-distill:workload": workload.name,
            "airflow-distill:run": "r",
            "airflow-distill:owner": "platform",
        },
    )


@pytest.mark.parametrize("kind", ["custom-model-deployment", "provisioned-throughput"])
def test_releases_and_their_way_back_need_nothing_that_is_not_printed(
    world: ReleaseWorld, wire: Wire, workload: Workload, kind: str
) -> None:
    """A first release, a swap that is rolled back, a rollback asked for, verify: each on both kinds of host."""
    wish = wish_for_throughput(world.now()) if kind == "provisioned-throughput" else HostWish(kind=kind)  # type: ignore[arg-type]
    first, bad = world.model("first"), world.model("bad", Rambles())
    one = world.decision(first)
    with wire.listening():
        world.carry_out(world.intent(one, wish=wish))
    two = world.decision(bad)
    with wire.listening():
        assert world.carry_out(world.intent(two, wish=wish)).outcome == "rolled_back"
    three = world.decision(world.model("second"))
    with wire.listening():
        world.carry_out(world.intent(three, wish=wish))
        world.carry_out(world.back())
        verify_workload(world.gateways, world.store, world.root, world.workload)
    assert len(wire.requests) > 80
    assert wire.refused(airflow(workload)) == set()
    made = (
        "CreateCustomModelDeployment"
        if kind == "custom-model-deployment"
        else "CreateProvisionedModelThroughput"
    )
    assert {f"bedrock:{made}", f"bedrock:{made.replace('Create', 'Update')}"} <= wire.used()


@pytest.mark.parametrize("kind", ["custom-model-deployment", "provisioned-throughput"])
def test_a_first_release_that_goes_back_deletes_its_host_with_what_is_printed(
    world: ReleaseWorld, wire: Wire, workload: Workload, kind: str
) -> None:
    wish = wish_for_throughput(world.now()) if kind == "provisioned-throughput" else HostWish(kind=kind)  # type: ignore[arg-type]
    decision = world.decision(world.model("bad", Rambles()))
    with wire.listening():
        assert world.carry_out(world.intent(decision, wish=wish)).outcome == "rolled_back"
    deleted = {
        "custom-model-deployment": "CustomModelDeployment",
        "provisioned-throughput": "ProvisionedModelThroughput",
    }
    assert f"bedrock:Delete{deleted[kind]}" in wire.used()
    assert wire.refused(airflow(workload)) == set()


def test_the_reaper_needs_nothing_that_is_not_printed_uploads_in_parts_included(
    world: ReleaseWorld, wire: Wire, workload: Workload
) -> None:
    """A model without a job, a host without a pointer, and what a killed upload has left."""
    old = world.now() - timedelta(days=3)
    model = world.model("left", expires_at=old)
    s3, key = world.client("s3"), f"loop/{workload.name}/windows/w/part.jsonl.gz"
    s3.create_multipart_upload(Bucket="distill-sandbox", Key=key)
    world.sandbox.clock.advance(5 * 86400)
    with wire.listening():
        finds = survey_account(
            world.gateways,
            world.store,
            world.root,
            now=world.now(),
            rules=ReapRules(),
            price_of=lambda item, base: None,
        )
        removed = remove_finds(world.gateways, world.store, world.root, finds, artefacts=True)
    assert {removal.find.kind for removal in removed if removal.removed} >= {"custom-model"}, removed
    assert model in {removal.find.arn for removal in removed}
    assert "s3:ListBucketMultipartUploads" in wire.used()
    assert wire.refused(airflow(workload)) == set()


def test_uploads_in_parts_may_be_found_and_ended_anywhere_below_the_workload(workload: Workload) -> None:
    printed = airflow(workload)
    own = "arn:aws:s3:::distill-sandbox/loop/support_tickets/"
    assert evaluate(printed, "s3:ListBucketMultipartUploads", "arn:aws:s3:::distill-sandbox")
    for key in ("windows/w/x.gz", "evaluations/e/answers/student.jsonl", "evidence/abc.manifest.json"):
        assert evaluate(printed, "s3:AbortMultipartUpload", own + key), key
    assert not evaluate(printed, "s3:AbortMultipartUpload", "arn:aws:s3:::distill-sandbox/loop/other/x.gz")
    assert not evaluate(printed, "s3:DeleteObject", own + "evidence/abc.manifest.json")


@pytest.mark.parametrize("method", ["distillation", "fine-tuning"])
@pytest.mark.parametrize("managed", [False, True])
def test_the_doctor_and_the_list_of_models_need_nothing_that_is_not_printed(
    world: ReleaseWorld, wire: Wire, workload: Workload, method: str, managed: bool
) -> None:
    if managed:
        iam = world.client("iam")
        text = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}],
        }
        made = iam.create_policy(PolicyName="own", PolicyDocument=json.dumps(text))["Policy"]["Arn"]
        iam.attach_role_policy(RoleName="distill-sandbox", PolicyArn=made)
        iam.attach_role_policy(RoleName="distill-sandbox", PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")
    asked = Preflight(
        workload=workload.name,
        root=workload.root,
        teacher=workload.teacher,
        student=workload.student,
        role_arn=workload.role_arn,
        logs=workload.logs.location if workload.logs else None,
        method=method,  # type: ignore[arg-type]
    )
    with wire.listening():
        doctor(asked, world.gateways, sleep=lambda seconds: None)
        compare_with_account(packaged(), world.gateways)
    assert wire.refused(airflow(workload)) == set()
    assert {"iam:GetRole", "bedrock:ListFoundationModels", "servicequotas:GetServiceQuota"} <= wire.used()
    policies = {"iam:GetPolicy", "iam:GetPolicyVersion"}
    assert (policies <= wire.used()) == managed


def test_the_open_questions_are_asked_with_what_is_printed_or_are_told_as_not_asked(
    world: ReleaseWorld, wire: Wire, workload: Workload
) -> None:
    """They name things that nobody has: those Gets are of no workload, and only reading."""
    with wire.listening():
        answers = learn(world.gateways)["answers"]
    assert answers
    refused = wire.refused(airflow(workload))
    assert {action.split(":")[1][:3] for action, _ in refused} <= {"Get"}
    assert not {action for action, _ in refused if "List" in action}


def test_a_quota_whose_code_is_not_known_is_looked_for_with_what_is_printed(
    world: ReleaseWorld, wire: Wire, workload: Workload
) -> None:
    with wire.listening():
        rooms(world.gateways, workload.student, ("provisioned-throughput",))
    assert {"servicequotas:ListServiceQuotas", "servicequotas:GetServiceQuota"} <= wire.used()
    assert wire.refused(airflow(workload)) == set()


@pytest.mark.parametrize("method", ["distillation", "fine-tuning"])
def test_buying_adopting_and_stopping_a_job_needs_nothing_that_is_not_printed(
    world: ReleaseWorld, wire: Wire, workload: Workload, method: str
) -> None:
    world.sandbox.world.set_pace("reads:50")
    spec = spec_of(workload, world, method)
    with wire.listening():
        for _ in range(2):
            bought = find_adopt_or_submit(
                customization_wish(spec, world.gateways.bedrock), now=world.now, sleep=world.sleep
            )
        list(WORK["customization-job"].list_pages(world.gateways.bedrock, None))
        WORK["customization-job"].ask_to_stop(world.gateways.bedrock, bought.snapshot.arn)
    assert bought.adopted
    wanted = {"Create", "Get", "Stop"}
    assert {f"bedrock:{verb}ModelCustomizationJob" for verb in wanted} <= wire.used()
    assert wire.refused(airflow(workload)) == set()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_roles_of_every_example_allow_its_own_folder_and_no_other_workloads(path: Path) -> None:
    workload = read_workload(path)
    found = documents(workload, keys=Keys())
    printed = airflow(workload)
    bucket, _, prefix = f"{workload.root}/{workload.name}".removeprefix("s3://").partition("/")
    own, other = f"arn:aws:s3:::{bucket}/{prefix}", f"arn:aws:s3:::{bucket}/{prefix}-of-others"
    assert evaluate(printed, "s3:GetObject", f"{own}/datasets/d/train.jsonl")
    assert not evaluate(printed, "s3:GetObject", f"{other}/datasets/d/train.jsonl")
    assert not evaluate(printed, "s3:PutObject", f"{other}/releases/000001.json", {"s3:if-none-match": "*"})
    role = [found["customization-role-policy"]]
    assert evaluate(role, "s3:GetObject", f"{own}/datasets/d/train.jsonl")
    assert not evaluate(role, "s3:PutObject", f"{own}/releases/000001.json")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_may_read_quotas_prices_of_the_table_and_models(path: Path) -> None:
    workload = read_workload(path)
    printed = airflow(workload)
    region, account = workload.region_name or "us-east-1", workload.role_arn.split(":")[4]
    quota = f"arn:aws:servicequotas:{region}:{account}:bedrock/L-BE77399C"
    assert evaluate(printed, "servicequotas:GetServiceQuota", quota)
    assert evaluate(printed, "servicequotas:ListServiceQuotas", "*")
    for action in ("ListFoundationModels", "ListInferenceProfiles", "GetFoundationModel"):
        assert evaluate(printed, f"bedrock:{action}", "*")


def test_a_role_that_lacks_one_printed_action_is_found_out(
    world: ReleaseWorld, wire: Wire, workload: Workload
) -> None:
    """The test itself is tried: without an action that is needed, it must speak."""
    decision = world.decision(world.model("first"))
    with wire.listening():
        world.carry_out(world.intent(decision))
    assert wire.refused(airflow(workload)) == set()
    for lacking in ("ssm:PutParameter", "bedrock:CreateCustomModelDeployment", "bedrock:TagResource"):
        less = [
            {
                **document,
                "Statement": [
                    {**s, "Action": [a for a in s["Action"] if a != lacking]} for s in document["Statement"]
                ],
            }
            for document in airflow(workload)
        ]
        assert lacking in {action for action, _ in wire.refused(less)}


def test_turns_and_notes_that_are_over_are_removed_with_what_is_printed(
    world: ReleaseWorld, wire: Wire, workload: Workload
) -> None:
    turns = Turns(world.store, workload.root, workload.name)
    with wire.listening():
        turn = turns.take(Runner("d", "r", "t"), "2026-11-20", lambda runner: False)
        turns.end(turn.number)
        forget_bounds(world.store, f"{workload.root}/{workload.name}/windows/w")
    assert "s3:DeleteObject" in wire.used()
    assert wire.refused(airflow(workload)) == set()


def test_evaluation_and_batch_jobs_are_bought_found_and_stopped_with_what_is_printed(
    world: ReleaseWorld, wire: Wire, workload: Workload
) -> None:
    world.sandbox.world.set_pace("reads:50")
    folder = f"{workload.root}/{workload.name}/evaluations"
    own = {"airflow-distill:workload": workload.name, "airflow-distill:run": "r"}
    asked = [f'{{"recordId": "{n:04d}", "modelInput": {{"messages": []}}}}\n' for n in range(100)]
    world.store.write(f"{folder}/batch/in.jsonl", "".join(asked).encode())
    judged = {"prompt": "p", "modelResponses": [{"response": "r", "modelIdentifier": "student"}]}
    world.store.write(f"{folder}/e/jobs/in.jsonl", json.dumps(judged).encode())
    judge = EvaluationJobSpec(
        workload.name, "d", "student", "m", "c" * 32, ("Correctness",), evaluator=str(workload.teacher)
    )
    batch = BatchSpec(workload.name, "d", "amazon.nova-micro-v1:0", "c" * 32)
    places = {"role_arn": ROLE, "tags": own, "output_uri": f"{folder}/batch"}
    bedrock = world.gateways.bedrock
    requests = {
        "evaluation-job": build_evaluation_request(
            judge, 1, dataset_uri=f"{folder}/e/jobs/in.jsonl", **places
        ),
        "batch-inference-job": build_batch_request(batch, 1, input_uri=f"{folder}/batch/in.jsonl", **places),
    }
    for kind, request in requests.items():
        work = WORK[kind]  # type: ignore[index]
        buy = bedrock.create_evaluation_job if kind == "evaluation-job" else bedrock.create_batch_job
        with wire.listening():
            arn = buy(request)
            found = work.find(bedrock, request["jobName"])
            assert found is not None
            assert work.ask_to_stop is not None
            work.ask_to_stop(bedrock, arn)
            only_ours(bedrock, Owner(workload.name, workload.root), folder)(found)
    names = ("EvaluationJob", "ModelInvocationJob")
    assert {f"bedrock:{verb}{name}" for verb in ("Create", "Get", "Stop") for name in names} <= wire.used()
    assert wire.refused(airflow(workload)) == set()


def test_application_profiles_prices_and_counts_of_calls_are_read_with_what_is_printed(
    world: ReleaseWorld, wire: Wire, workload: Workload
) -> None:
    source = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0"
    profile = world.client("bedrock").create_inference_profile(
        inferenceProfileName="desk", modelSource={"copyFrom": source}
    )["inferenceProfileArn"]
    with wire.listening():
        assert ProfileLookup(lambda: world.gateways.bedrock)(profile)
        world.gateways.metrics.asked([workload.teacher], world.now() - timedelta(days=1), world.now())
        assert list(world.gateways.price_list.iter_products("us-east-1"))
    wanted = {"bedrock:GetInferenceProfile", "cloudwatch:GetMetricData", "pricing:GetProducts"}
    assert wire.used() == wanted
    assert wire.refused(airflow(workload)) == set()


def test_a_withdrawal_takes_the_pointer_away_with_what_is_printed(
    world: ReleaseWorld, wire: Wire, workload: Workload
) -> None:
    world.carry_out(world.intent(world.decision(world.model("first"))))
    world.sandbox.world.store.region("us-east-1").resources.pop(world.pointer()["host_arn"])
    with wire.listening():
        withdraw(world.gateways, world.store, world.root, world.workload, "ada", "host lost", world.now())
    assert {"ssm:DeleteParameter", "bedrock:GetCustomModelDeployment"} <= wire.used()
    assert wire.refused(airflow(workload)) == set()


def test_data_and_models_under_customer_keys_are_used_with_what_is_printed(
    world: ReleaseWorld, wire: Wire, tmp_path: Path
) -> None:
    """A bucket under SSE-KMS, and a student whose model lies under a key: a release asks and writes with both."""
    kms = world.client("kms")
    data, model = (kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2))
    rule = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": data}
    world.client("s3").put_bucket_encryption(
        Bucket="distill-sandbox",
        ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": rule}]},
    )
    path = tmp_path / "support_tickets.yaml"
    path.write_text(FILE + f"job: {{kms_key: '{model}'}}\n")
    workload = read_workload(path)
    student = world.model("first")
    world.sandbox.world.store.region("us-east-1").resources[student].record["modelKmsKeyArn"] = model
    decision = world.decision(student)
    with wire.listening():
        assert world.carry_out(world.intent(decision)).outcome == "released"
    keys = {(action, arn) for action, arn, _ in wire.requests if action.startswith("kms:")}
    assert keys == {("kms:Decrypt", data), ("kms:GenerateDataKey", data), ("kms:Decrypt", model)}
    assert wire.refused(airflow(workload, keys=Keys(data=data))) == set()
    assert {arn for _, arn in wire.refused(airflow(workload))} == {data}


def test_nothing_is_printed_that_no_test_of_this_file_needs(
    workload: Workload, request: pytest.FixtureRequest
) -> None:
    """The last test: what is allowed is what was heard, so that an action nobody needs any more is taken out."""
    here = {item.originalname for item in request.session.items if item.path == request.path}  # type: ignore[attr-defined]
    written = {one for one in globals() if one.startswith("test_")}
    if here != written:
        pytest.skip("needs what the other tests of this file have heard")
    allowed = {
        action
        for document in airflow(workload)
        for statement in document["Statement"]
        if statement["Effect"] == "Allow"
        for action in statement["Action"]
    }
    assert allowed - HEARD == set()

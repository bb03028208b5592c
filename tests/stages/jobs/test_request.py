"""The request is what the SDK sends, and what the service would refuse is named before."""

from __future__ import annotations

import botocore.session
import pytest
from botocore.validate import ParamValidator

from airflow_distill.errors import ConfigurationError, DatasetRejectedError
from airflow_distill.stages.jobs import models, preflight, request
from airflow_distill.stages.jobs.records import CustomizationSpec, JobOutcome, LogsData
from airflow_distill.stages.jobs.spec import make_spec

MODEL = botocore.session.get_session().get_service_model("bedrock")
TEACHER, STUDENT = "amazon.nova-pro-v1:0", "amazon.nova-lite-v1:0:300k"


def spec(**changes) -> CustomizationSpec:
    logs = changes.get("invocation_logs")
    dataset = (
        None if logs else {"dataset_id": "d1", "train_uri": "s3://bucket/w/train.jsonl", "train_records": 500}
    )
    arguments = {
        "workload": "support_tickets", "root": "s3://bucket/loop", "role_arn": "arn:aws:iam::123456789012:role/r",
        "teacher": TEACHER, "student": STUDENT, "dataset": dataset, "tags": {"team": "x"}, **changes,
    }  # fmt: skip
    return make_spec(**arguments)


EVERYTHING = spec(
    max_response_length=1000, hyperparameters={"epochCount": 2}, validation_uris=["s3://bucket/v.jsonl"],
    kms_key_id="alias/mine", subnet_ids=["subnet-1"], security_group_ids=["sg-1"],
)  # fmt: skip
LOGS = spec(
    invocation_logs={
        "uri": "s3://bucket/logs",
        "use_prompt_response": True,
        "filters": {"orAll": [{"equals": {"a": "1"}}]},
    }
)


@pytest.mark.parametrize("wanted", [spec(), EVERYTHING, LOGS])
@pytest.mark.parametrize("generation", [1, 7])
def test_the_sdk_accepts_every_request(wanted, generation):
    built = request.build_request(wanted, generation)
    shape = MODEL.operation_model("CreateModelCustomizationJob").input_shape
    assert not ParamValidator().validate(built, shape).has_errors()
    assert request.check_spec(wanted) == []
    assert built["outputDataConfig"]["s3Uri"].endswith(f"/support_tickets/jobs/{built['jobName']}/")


@pytest.mark.parametrize(
    ("ours", "shape"),
    [
        (request.S3_URI, "S3Uri"), (request.ROLE_ARN, "RoleArn"), (request.KMS_KEY, "KmsKeyId"),
        (request.NETWORK_ID, "SubnetId"), (request.TAG_TEXT, "TagKey"), (request.JOB_NAME, "JobName"),
        (request.MODEL_NAME, "CustomModelName"),
    ],
)  # fmt: skip
def test_our_patterns_are_the_installed_sdks(ours, shape):
    assert ours.pattern == MODEL.shape_for(shape).metadata["pattern"]


@pytest.mark.parametrize(
    "uri",
    [
        "s3://b",
        "s3://bucket/a=b",
        "s3://bucket//a",
        "s3://bucket/a b",
        "bucket/a",
        "s3://bucket/" + "a" * 1100,
    ],
)
def test_uris_that_bedrock_refuses_are_named(uri):
    assert list(request.check_s3_uri("root", uri))


@pytest.mark.parametrize(
    "filters",
    [
        {"equals": {"a": "1"}, "notEquals": {"b": "2"}}, {"equals": {"a": "1", "b": "2"}}, {"like": {"a": "1"}},
        {"andAll": []}, {"andAll": [{"equals": {"a": "1"}}] * 17}, {"orAll": [{"andAll": []}]}, {"equals": {"a": "x#y"}},
    ],
)  # fmt: skip
def test_filters_that_the_service_refuses_are_named(filters):
    assert request.check_filters(filters)
    assert request.check_filters({"notEquals": {"a": "1"}}) == request.check_filters(None) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"student": "amazon.nova-lite-v1:0"}, {"teacher": "amazon.nova-premier-v1:0"}, {"workload": "A b"},
        {"role_arn": "r"}, {"kms_key_id": "no key"}, {"subnet_ids": ["s"]}, {"tags": {"a#": "b"}},
        {"max_response_length": 0},
        {"teacher": "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"},
        {"teacher": "anthropic.claude-3-5-sonnet-20240620-v1:0", "student": "anthropic.claude-3-haiku-20240307-v1:0:200k"},
    ],
)  # fmt: skip
def test_every_problem_has_a_fix_and_stops_the_request(changes):
    found = request.check_spec(spec(**changes))
    assert found
    assert all(problem.fix for problem in found)
    with pytest.raises(ConfigurationError):
        request.require_valid(spec(**changes))


def test_what_is_mended_does_not_change_the_name_and_what_changes_the_model_does():
    name = spec().job_name()
    for mended in (
        {"role_arn": "arn:aws:iam::1:role/x"},
        {"tags": {}},
        {"kms_key_id": "alias/k"},
    ):
        assert spec(**mended).job_name() == name
    assert spec(max_response_length=7).job_name() != name
    assert spec(root="s3://other/x").job_name() != name, "staging and production never share a job"
    assert LOGS.job_name() != name


def test_a_spec_and_an_outcome_survive_json():
    for wanted in (EVERYTHING, LOGS):
        assert CustomizationSpec.from_json(wanted.to_json()) == wanted
    outcome = JobOutcome(
        "w", "d", "arn", "job", "Completed", 2, 2, TEACHER, STUDENT, "m", "n", "t", "t", 0.5, True
    )
    assert JobOutcome.from_json(outcome.to_json()) == outcome
    assert list(outcome.to_json())[:2] == ["kind", "v"]


def test_a_rejected_dataset_and_an_unclear_source_are_refused():
    with pytest.raises(DatasetRejectedError):
        spec(dataset={"train_uri": "s3://b/x", "dataset_id": "d", "accepted": False})
    with pytest.raises(ConfigurationError):
        make_spec(workload="w", root="s3://bucket", role_arn="r")
    with pytest.raises(ConfigurationError):
        spec(invocation_logs={"url": "s3://bucket/logs"})
    assert isinstance(LOGS.training, LogsData)


def test_models_are_recognised_however_they_are_written():
    for text in (
        "us.amazon.nova-pro-v1:0",
        "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0",
        TEACHER,
    ):
        assert models.base_model_id(text) == TEACHER
        assert models.find_pair(text, STUDENT) is not None
    assert models.family("us.meta.llama3-3-70b-instruct-v1:0") == "meta"
    assert models.hosts_of("meta.llama3-3-70b-instruct-v1:0:128k") == ("custom-model-deployment",)
    assert models.job_region(TEACHER, STUDENT) == "us-east-1"
    assert all(models.hosts_of(pair.student) for pair in models.PAIRS if pair.trust != "withdrawn")


def test_a_deny_wins_and_wildcards_count():
    allow = {"Statement": {"Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::b/*"}}
    deny = {"Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}
    assert preflight.allows([allow], "s3:getobject", "arn:aws:s3:::b/k")
    assert not preflight.allows([allow], "s3:PutObject", "arn:aws:s3:::b/k")
    assert not preflight.allows([allow, deny], "s3:GetObject", "arn:aws:s3:::b/k")


NOVA_2 = "amazon.nova-2-lite-v1:0:256k"
WITH_ANSWERS = {
    "dataset_id": "d1",
    "train_uri": "s3://bucket/w/train.jsonl",
    "train_records": 500,
    "with_answers": True,
}


def test_a_fine_tuning_request_names_no_teacher_and_is_one_the_sdk_accepts():
    wanted = spec(student=NOVA_2, method="fine-tuning", dataset=WITH_ANSWERS, max_response_length=1000,
                  hyperparameters={"epochCount": 2})  # fmt: skip
    built = request.build_request(wanted)
    shape = MODEL.operation_model("CreateModelCustomizationJob").input_shape
    assert not ParamValidator().validate(built, shape).has_errors()
    assert request.check_spec(wanted) == []
    assert built["customizationType"] == "FINE_TUNING"
    assert "customizationConfig" not in built
    assert built["hyperParameters"] == {"epochCount": "2"}


def test_the_method_is_part_of_the_jobs_identity_and_distillation_keeps_its_names():
    distilled = spec(dataset=WITH_ANSWERS)
    tuned = spec(dataset=WITH_ANSWERS, method="fine-tuning")
    assert tuned.job_name() != distilled.job_name()
    assert tuned.token() != distilled.token()
    assert "method" not in distilled.parameters()
    for wanted in (tuned, distilled):
        assert CustomizationSpec.from_json(wanted.to_json()) == wanted
    older = {key: value for key, value in distilled.to_json().items() if key != "method"}
    assert CustomizationSpec.from_json(older) == distilled


def test_how_long_a_teacher_may_answer_does_not_name_a_job_that_asks_none():
    tuned = [spec(dataset=WITH_ANSWERS, method="fine-tuning", max_response_length=n) for n in (100, 1000)]
    assert tuned[0].job_name() == tuned[1].job_name()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"student": "mistral.mistral-large-2402-v1:0:32k"}, "fine-tuning"),
        ({"student": "meta.llama3-1-8b-instruct-v1:0:128k"}, "data-form"),
        ({"student": "amazon.nova-2-lite-v1:0"}, "fine-tuning"),
        ({"dataset": {**WITH_ANSWERS, "with_answers": False}}, "no-answers"),
        ({"dataset": None, "invocation_logs": {"uri": "s3://bucket/logs"}}, "no-answers"),
        ({"dataset": {**WITH_ANSWERS, "train_records": 7}}, "too-few"),
        ({"dataset": {**WITH_ANSWERS, "train_records": 20_001}}, "too-many"),
    ],
)
def test_what_fine_tuning_cannot_do_is_named_before_anything_is_bought(changes, code):
    wanted = spec(**{"student": NOVA_2, "method": "fine-tuning", "dataset": WITH_ANSWERS, **changes})
    problems = request.check_spec(wanted)
    assert [problem.code for problem in problems] == [code]
    assert problems[0].fix


def test_fine_tuning_takes_between_8_and_20000_records():
    for count in (8, 99, 15_001, 20_000):
        wanted = spec(student=NOVA_2, method="fine-tuning", dataset={**WITH_ANSWERS, "train_records": count})
        assert request.check_spec(wanted) == []


def test_nova_2_lite_is_no_student_of_a_distillation_and_can_be_hosted():
    (problem,) = request.check_spec(spec(student=NOVA_2))
    assert problem.code == "pair"
    assert models.hosts_of(NOVA_2) == ("provisioned-throughput", "custom-model-deployment")
    assert models.job_region(TEACHER, NOVA_2, "fine-tuning") == "us-east-1"
    assert models.job_region(TEACHER, NOVA_2) is None


def test_a_method_that_is_not_offered_is_refused():
    for method in ("reinforcement", "FINE_TUNING", ""):
        with pytest.raises(ConfigurationError, match="no method"):
            spec(method=method)


LLAMA = "meta.llama3-1-8b-instruct-v1:0:128k"
NOVA_2 = "amazon.nova-2-lite-v1:0:256k"


def tuned(student: str, form: str | None, **more):
    dataset = {"dataset_id": "d1", "train_uri": "s3://bucket/w/train.jsonl", "with_answers": True, **more}
    dataset |= {"form": form} if form else {}
    return spec(method="fine-tuning", student=student, dataset=dataset)


@pytest.mark.parametrize(
    ("student", "form"), [(LLAMA, "prompt-completion"), (NOVA_2, None), (NOVA_2, "conversation")]
)
def test_fine_tuning_takes_the_form_of_its_student(student, form):
    assert request.check_spec(tuned(student, form)) == []
    assert "form" not in request.build_request(tuned(student, form), 1)


@pytest.mark.parametrize(("student", "form"), [(LLAMA, None), (NOVA_2, "prompt-completion")])
def test_fine_tuning_on_lines_of_another_form_is_refused_before_it_is_bought(student, form):
    (problem,) = request.check_spec(tuned(student, form))
    assert problem.code == "data-form"
    assert "form: " in problem.fix


def test_distillation_never_takes_lines_of_prompt_and_completion():
    dataset = {"dataset_id": "d1", "train_uri": "s3://bucket/w/train.jsonl", "form": "prompt-completion"}
    assert [p.code for p in request.check_spec(spec(dataset=dataset))] == ["data-form"]


@pytest.mark.parametrize(
    ("student", "form", "most"), [(LLAMA, "prompt-completion", 10_000), (NOVA_2, None, 20_000)]
)
def test_fine_tuning_takes_as_many_records_as_its_family(student, form, most):
    assert request.check_spec(tuned(student, form, train_records=most)) == []
    (problem,) = request.check_spec(tuned(student, form, train_records=most + 1))
    assert problem.code == "too-many"
    assert f"{most:,}" in problem.message


def test_the_form_does_not_change_the_name_of_a_job_on_conversations():
    assert tuned(NOVA_2, None).job_name() == tuned(NOVA_2, "conversation").job_name()

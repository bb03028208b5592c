"""What only a real account can settle about the service: each question with the one command that settles it.

The harmless ones, which read and cost nothing, are asked by `learn` (`airflow-distill doctor --learn FILE`). It hands on
codes, statuses, words of the service and names of members: nothing that names the account or what is in it. Run as a
module to print the reference page.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore import exceptions as sdk

from airflow_distill.aws.gateways import AwsGateways

SCHEMA = 1
NOBODY = "airflow-distill-nobody-has-this-name"
"""A name that nothing in any account has."""

Ask = Callable[[AwsGateways], Any]


@dataclass(frozen=True, slots=True)
class Question:
    """One thing that documents leave open.

    :param command: what settles it, for a shell with credentials.
    :param today: what the package does until it is settled.
    :param cost: what the command costs; empty when it only reads.
    """

    id: str
    question: str
    command: str
    today: str
    cost: str = ""
    ask: Ask | None = None


def _refusal(method: str, **parameters: str) -> Ask:
    """How the service refuses a call, in its own words."""

    def ask(gateways: AwsGateways) -> dict[str, Any]:
        try:
            getattr(gateways.bedrock.client, method)(**parameters)
        except sdk.ClientError as error:
            body, meta = error.response.get("Error", {}), error.response.get("ResponseMetadata", {})
            return {
                "code": body.get("Code"),
                "status": meta.get("HTTPStatusCode"),
                "message": _without_names(str(body.get("Message", ""))),
            }
        return {"code": None, "message": "answered"}

    return ask


def _without_names(text: str) -> str:
    """Leave out account numbers, ARNs and who asked."""
    text = re.sub(r"arn:aws\S*", "ARN", text)
    return re.sub(r"\d{12}", "ACCOUNT", text)[:500]


def _offered(customization: str) -> Ask:
    def ask(gateways: AwsGateways) -> list[str]:
        found = gateways.bedrock.list_foundation_models(byCustomizationType=customization)
        return sorted(str(model["modelId"]) for model in found)

    return ask


def _profile_prefixes(gateways: AwsGateways) -> list[str]:
    found = gateways.bedrock.iter_inference_profiles(typeEquals="SYSTEM_DEFINED")
    return sorted({str(profile["inferenceProfileId"]).split(".", 1)[0] for profile in found})


def _members_of_logging(gateways: AwsGateways) -> list[str]:
    return sorted(gateways.bedrock.get_logging())


def _members_of_jobs(gateways: AwsGateways) -> list[str]:
    newest = next(gateways.bedrock.iter_customization_jobs(maxResults=1), None)
    return sorted(newest or {})


_GET_BY_NAME = (
    "Either code means that there is none, when the message says so. Any other refusal stops the run."
)

QUESTIONS: tuple[Question, ...] = (
    Question(
        "get-job-by-name",
        "Does Get of an unknown job name answer ResourceNotFoundException or ValidationException?",
        f"aws bedrock get-model-customization-job --job-identifier {NOBODY}",
        _GET_BY_NAME,
        ask=_refusal("get_model_customization_job", jobIdentifier=NOBODY),
    ),
    Question(
        "get-throughput-by-name",
        "The same for provisioned throughput.",
        f"aws bedrock get-provisioned-model-throughput --provisioned-model-id {NOBODY}",
        _GET_BY_NAME,
        ask=_refusal("get_provisioned_model_throughput", provisionedModelId=NOBODY),
    ),
    Question(
        "get-deployment-by-name",
        "The same for custom model deployments.",
        f"aws bedrock get-custom-model-deployment --custom-model-deployment-identifier {NOBODY}",
        _GET_BY_NAME,
        ask=_refusal("get_custom_model_deployment", customModelDeploymentIdentifier=NOBODY),
    ),
    Question(
        "get-model-by-name",
        "The same for custom models.",
        f"aws bedrock get-custom-model --model-identifier {NOBODY}",
        _GET_BY_NAME,
        ask=_refusal("get_custom_model", modelIdentifier=NOBODY),
    ),
    Question(
        "students-of-distillation",
        "Which base models take distillation in this Region?",
        "aws bedrock list-foundation-models --by-customization-type DISTILLATION --query 'modelSummaries[].modelId'",
        "The table of pairs follows AWS's pages; the doctor asks for the student.",
        ask=_offered("DISTILLATION"),
    ),
    Question(
        "students-of-fine-tuning",
        "Which base models take fine-tuning in this Region?",
        "aws bedrock list-foundation-models --by-customization-type FINE_TUNING --query 'modelSummaries[].modelId'",
        "The table of models follows AWS's pages; its `families` name the form of a line for each provider.",
        ask=_offered("FINE_TUNING"),
    ),
    Question(
        "profile-prefixes",
        "Which prefixes do system inference profiles carry?",
        "aws bedrock list-inference-profiles --type-equals SYSTEM_DEFINED "
        "--query 'inferenceProfileSummaries[].inferenceProfileId'",
        "Two letters, alone or with more (`jp.`, `us-gov.`), `apac.` and `global.` are read as prefixes.",
        ask=_profile_prefixes,
    ),
    Question(
        "logging-members",
        "Which members has the logging configuration, and is it empty when logging is off?",
        "aws bedrock get-model-invocation-logging-configuration",
        "An empty answer means that logging is off.",
        ask=_members_of_logging,
    ),
    Question(
        "job-members",
        "Which members has a listed customization job?",
        "aws bedrock list-model-customization-jobs --max-results 1",
        "Members that are missing are read as unknown.",
        ask=_members_of_jobs,
    ),
    Question(
        "read-after-create",
        "How long after a create do Get and List not show the new host or job?",
        "aws bedrock create-custom-model-deployment ... && aws bedrock get-custom-model-deployment ...",
        "Nothing is bought under another token without a pause and another look.",
        cost="a deployment for a minute; it bills by the token only",
    ),
    Question(
        "failed-throughput",
        "Can a throughput that is Failed after an update be updated again?",
        "aws bedrock update-provisioned-model-throughput --provisioned-model-id ... --desired-model-id ...",
        "The way back is tried as an update; a refusal is told, and no host that anything points at is deleted.",
        cost="hours of a model unit, and a failed update cannot be had on purpose",
    ),
    Question(
        "long-lines",
        "Does a line above 16 KB fail a distillation job, or is it left out?",
        "aws bedrock create-model-customization-job ... (a file of 101 records, one of them longer)",
        "Such records are told before anything is bought; the sandbox fails the job (option `long_lines`).",
        cost="a small distillation job",
    ),
    Question(
        "judge-metrics",
        "Does a judge job take three metrics a dataset (quota) or 25 (API model), and prompts above 4 KB?",
        "aws bedrock create-evaluation-job ... (four metrics)",
        "Four metrics are refused before anything is bought; longer prompts are left out and have a missing score.",
        cost="an evaluation job of one prompt, when it is taken",
    ),
    Question(
        "batch-failures",
        "How does a batch job name a record that failed: in `error`, or in `modelOutput`?",
        "aws bedrock create-model-invocation-job ... (100 records, one of them broken)",
        "Both are read.",
        cost="100 answers at half price",
    ),
)


def learn(gateways: AwsGateways) -> dict[str, Any]:
    """Ask the harmless questions; one that cannot be asked says why and stops no other."""
    answers: dict[str, Any] = {}
    for question in QUESTIONS:
        if question.ask is None:
            continue
        try:
            answers[question.id] = question.ask(gateways)
        except Exception as error:
            code = getattr(error, "code", "") or ""
            answers[question.id] = {"not_asked": type(error).__name__, **({"code": code} if code else {})}
    return {"v": SCHEMA, "region": gateways.bedrock.region, "answers": answers}


def page() -> str:
    """The reference page, in Markdown."""
    lines = [
        "# Open questions about the service",
        "",
        "Generated by `python -m airflow_distill.aws.learn`; do not edit.",
        "",
        "Documents, the API model, recorded answers and other people's code leave these open. Each has the one command",
        "that settles it in an account, and what the package does until then. Those that only read are asked by",
        "",
        "```bash",
        "airflow-distill doctor --learn what-aws-says.json --region us-east-1",
        "```",
        "",
        "The file holds codes, the service's words and names of members, and nothing that names your account or what is in",
        "it. Read it, and send it to us: it becomes a recorded answer that the tests hold.",
        "",
    ]
    for question in QUESTIONS:
        lines += [f"## {question.id}", "", question.question, "", "```bash", question.command, "```", ""]
        lines += [f"Costs {question.cost}." if question.cost else "Asked by `doctor --learn`.", ""]
        lines += [f"Until then: {question.today}", ""]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    print(page(), end="")

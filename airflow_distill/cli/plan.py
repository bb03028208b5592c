"""`airflow-distill plan`: print the exact request, names, tags and price of a job; send nothing."""

from __future__ import annotations

import argparse
import getpass
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_distill.cli.account import connect
from airflow_distill.cli.doctor import add_job_arguments, complete, filters_of
from airflow_distill.cli.terminal import say, say_json
from airflow_distill.errors import ConfigurationError, DistillError
from airflow_distill.remote.identity import resource_tags
from airflow_distill.stages.digest import record_of
from airflow_distill.stages.jobs.spec import make_spec
from airflow_distill.stages.storage import LocalStore, ObjectMissingError, join_uri

if TYPE_CHECKING:
    from airflow_distill.aws.gateways import AwsGateways
    from airflow_distill.aws.planning import JobPlan
    from airflow_distill.stages.money.prices import PriceTable


def register(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_job_arguments(parser)
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--manifest", help="manifest.json of a dataset, a path or s3:// URI")
    data.add_argument("--logs", help="let Bedrock read the invocation logs at s3://bucket/prefix itself")
    parser.add_argument(
        "--use-prompt-response", action="store_true", help="with --logs: take logged answers as they are"
    )
    parser.add_argument(
        "--dataset-id", help="with --logs: id of these logs, such as the month; other ids buy other jobs"
    )
    parser.add_argument("--records", type=int, help="with --logs: how many records, for the price")
    parser.add_argument("--input-tokens", type=float, help="mean tokens of a prompt, for the price")
    parser.add_argument("--output-tokens", type=float, help="mean tokens of an answer, for the price")
    parser.add_argument("--max-response-length", type=int, help="the most tokens the teacher may answer with")
    parser.add_argument(
        "--max-generations",
        type=int,
        help="how many jobs these inputs may buy (one more only after a stop or a failure that may heal)",
    )
    parser.add_argument("--owner", help="owner of what is bought, for its tag (default: you)")
    parser.add_argument(
        "--lifetime-days",
        type=int,
        default=90,
        help="days after which the model may be deleted (default: 90)",
    )
    parser.add_argument(
        "--offline",
        action="store_true",
        help="send no request to AWS, not even to ask whether the job exists",
    )
    parser.add_argument("--json", action="store_true", help="print the plan as JSON")


def run(args: argparse.Namespace) -> int:
    """Print the plan; returns 1 when the job would be refused."""
    from airflow_distill.aws.planning import plan_job
    from airflow_distill.aws.prices import read_prices

    complete(args)
    gateways = None if args.offline else connect(args)
    expires = datetime.now(UTC) + timedelta(days=args.lifetime_days)
    file = getattr(args, "file", None)
    spec = make_spec(
        method=file.job.method if file is not None else "distillation",
        workload=args.name,
        root=args.root,
        role_arn=args.role,
        teacher=args.teacher,
        student=args.student,
        max_response_length=args.max_response_length,
        kms_key_id=args.kms_key,
        tags=resource_tags(
            args.name, "command-line", args.owner or getpass.getuser(), expires, root=args.root
        ),
        **_data(args, gateways),
    )
    table = read_prices(
        gateways,
        file.budget.prices if file is not None else None,
        student=args.student,
        stated={str(item): usd for item, usd in file.budget.student_prices.items()}
        if file is not None
        else None,
    )
    plan = plan_job(
        spec,
        gateways.bedrock if gateways else None,
        max_generations=args.max_generations,
        records=args.records,
        input_tokens=args.input_tokens,
        output_tokens=args.output_tokens,
        region=args.region or (gateways.bedrock.region if gateways else ""),
        table=table,
    )
    told, exposure = exposure_told(gateways, args.root, args.name, table)
    if args.json:
        say_json({**plan.to_json(), "exposure": exposure}, indent=2)
    else:
        say(*lines(plan, aged_prices(table, spec.teacher, spec.student)), f"exposure     {told}")
    return 1 if plan.action == "refuse" else 0


def exposure_told(
    gateways: AwsGateways | None, root: str, workload: str, table: PriceTable
) -> tuple[str, dict[str, Any] | None]:
    """Return what is billed for the workload already, and the most that it may come to, as a sentence and as data."""
    from airflow_distill.aws.exposure import exposure_of
    from airflow_distill.aws.gateways import store_for
    from airflow_distill.remote.ownership import Owner
    from airflow_distill.stages.money.exposure import sentence
    from airflow_distill.stages.money.runs import open_steps

    if gateways is None:
        return "not looked up (--offline)", None
    now = datetime.now(UTC)
    try:
        region = gateways.bedrock.region
        claimed = open_steps(store_for(gateways, root), root, workload, table, now=now, region=region)
        found = exposure_of(gateways, Owner(workload, root), table, now=now, claimed=claimed)
    except DistillError as error:
        return f"could not be looked up: {error.message}", None
    return sentence(found), found.to_json()


def _data(args: argparse.Namespace, gateways: AwsGateways | None) -> dict[str, Any]:
    if args.logs:
        logs = {
            "uri": args.logs,
            "use_prompt_response": args.use_prompt_response,
            "filters": filters_of(args.metadata),
        }
        return {"invocation_logs": logs, "dataset_id": args.dataset_id}
    if args.manifest.startswith("s3://") and gateways is None:
        raise ConfigurationError(
            "plan: a manifest in S3 cannot be read offline.", hint="Leave --offline out, or copy it."
        )
    receipt, upload = receipt_of(args.manifest, gateways, args.root, args.name)
    take_mean_tokens(args, receipt)
    if upload:
        say(upload, err=True)
    return {"dataset": receipt}


def take_mean_tokens(args: argparse.Namespace, receipt: dict[str, Any]) -> None:
    """Take the mean tokens of a dataset's prompts and answers from its receipt, where no flag says them."""
    asked, answered = receipt.pop("mean_tokens", (None, None))
    args.input_tokens = asked if args.input_tokens is None else args.input_tokens
    args.output_tokens = answered if args.output_tokens is None else args.output_tokens


def receipt_of(
    uri: str, gateways: AwsGateways | None, root: str, workload: str
) -> tuple[dict[str, Any], str]:
    """Return what a dataset's manifest says of it, as its receipt would, and what must be uploaded first, if anything.

    A dataset that was built into a local folder is planned as if it lay where the loop keeps datasets.

    :param uri: `manifest.json`, or the folder that holds it; a path or `s3://`.
    :raises ConfigurationError: there is none, or it is not a manifest.
    """
    local = not uri.startswith("s3://")
    if not uri.endswith(".json"):
        uri = join_uri(uri, "manifest.json")
    store = LocalStore() if local or gateways is None else gateways.objects
    hint = "`airflow-distill dataset build --out DIR` writes one; name DIR or DIR/manifest.json."
    try:
        manifest = record_of(store.read(uri), _of_manifest)
    except (ObjectMissingError, OSError) as error:
        raise ConfigurationError(
            f"plan: there is no manifest at {uri} ({type(error).__name__}).", hint=hint
        ) from None
    except ValueError as error:
        raise ConfigurationError(f"plan: {uri} is {error}; a manifest is needed.", hint=hint) from None
    train, upload = manifest["train_uri"], ""
    if "/" not in train:  # beside its manifest, as `dataset build` names it
        train = join_uri(uri.rpartition("/")[0] or ".", train)
    if not train.startswith("s3://"):
        place = join_uri(root, workload, "datasets", manifest["dataset_id"], "train.jsonl")
        upload = f"The dataset is local; upload it before you submit: aws s3 cp {train} {place}"
        train = place
    return {**manifest, "train_uri": train}, upload


def _of_manifest(data: dict[str, Any]) -> dict[str, Any]:
    train = data["train"]
    if not isinstance(data["dataset_id"], str) or not isinstance(train["uri"], str):
        raise ValueError("no manifest")
    return {
        "dataset_id": data["dataset_id"],
        "train_uri": train["uri"],
        "train_records": int(train["records"]),
        "with_answers": data.get("with_answers") is True,
        "mean_tokens": _mean_tokens(data),
    }


def _mean_tokens(data: dict[str, Any]) -> tuple[float | None, float | None]:
    """Return the mean tokens of a prompt and of an answer, over the records whose calls were counted."""
    from airflow_distill.stages.money.savings import CallMoments

    train = (data.get("profile") or {}).get("train") or {}
    calls = CallMoments.from_json(train.get("usage"))
    if calls is None:
        return None, None
    return sum(calls.sums[:3]) / calls.n, calls.sums[3] / calls.n


def aged_prices(table: PriceTable, *models: str) -> list[str]:
    """Return a sentence when prices of these models are too old to be trusted unseen."""
    from airflow_distill.stages.money.prices import told_age

    return told_age(table, f"{datetime.now(UTC):%Y-%m-%d}", models)


def lines(plan: JobPlan, aged: Sequence[str] = ()) -> list[str]:
    """Return the plan for people: what would happen, the price, the tags, then the request as it would be sent.

    :param aged: what must be said of the prices' age.
    """
    request = dict(plan.request)
    tags = {tag["key"]: tag["value"] for tag in request.get("jobTags", ())}
    out = [f"action       {plan.action} (generation {plan.generation})"]
    out += [f"exists       {name}: {status}" for name, status in plan.found]
    out += [f"because      {plan.why}"] if plan.why else []
    out += [f"refused      {p.path}: {p.message} -> {p.fix}" for p in plan.problems]
    out += [f"job          {request['jobName']}", f"model        {request['customModelName']}"]
    out += [f"output       {request['outputDataConfig']['s3Uri']}"]
    out += [f"tag          {key} = {value}" for key, value in sorted(tags.items())]
    out += _price_lines(plan)
    out += [f"prices       {line}" for line in aged]
    return [*out, "request      CreateModelCustomizationJob", *json.dumps(request, indent=2).splitlines()]


def _price_lines(plan: JobPlan) -> list[str]:
    if "from" not in plan.price:
        return [f"price        unknown: {plan.price.get('why', '')}"]
    out = [f"price        as of {plan.price['prices_of']}, one epoch"]
    names = {"from": "with the records as they are", "to": "if the service grows them to 15,000"}
    for name, told in names.items():
        part = plan.price[name]
        usd = "unknown" if part["usd"] is None else f"{part['usd']:.2f} USD"
        rest = (
            f" (known part {part['known_usd']:.2f} USD; unknown: {', '.join(part['unknown'])})"
            if part["unknown"]
            else ""
        )
        out.append(f"             {told}: {usd}{rest}")
    uncounted = {each for name in names for each in plan.price[name]["uncounted"]}
    unpriced = {each for name in names for each in plan.price[name]["unknown"]} - uncounted
    if uncounted:
        out.append(
            "             to know it: give --input-tokens and --output-tokens, the means of a prompt and an answer"
        )
    if unpriced:
        out.append(
            "             to know it: `airflow-distill prices update`, or state the price in budget.prices"
        )
    return out

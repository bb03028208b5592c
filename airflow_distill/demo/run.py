"""Runs the demonstration from an empty folder to a verdict, and cleans up after itself.

Order: sandbox and metadata database start together; the account is opened and the application plays its traffic while
Airflow starts; then one Dag run is triggered and watched; then the receipts are turned into the closing table.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.text import Text

from airflow_distill.aws.gateways import AwsGateways
from airflow_distill.demo import application
from airflow_distill.demo.airflow import AirflowApiError, LocalAirflow
from airflow_distill.demo.closing import bought_twice, closing_facts, load_scorecard, write_report
from airflow_distill.demo.processes import Processes, free_port, port_is_free, wait_until
from airflow_distill.demo.show import DONE, Progress, TaskRow, fact_of, summary_table
from airflow_distill.demo.traffic import Call, Traffic, plan_calls, read_traffic, shipped_traffic
from airflow_distill.errors import ConfigurationError, DistillError
from airflow_distill.stages.shown import one_line

DAG_ID = "distill_from_invocation_logs"
WORKLOAD = "support_tickets"
SECOND = "rider_feedback"
SECOND_PAIRS = 700
STRICT = 0.01
"""With `--keep`: another workload, how many of the prompts it asks, and how far below the teacher it may score."""
READY_FILE = "sandbox.json"
TEACHER = "amazon.nova-pro-v1:0"
STUDENT = "amazon.nova-micro-v1:0:128k"
TASKS_IN_ORDER_LIMIT = 1200.0
STRICT_LAG = 30.0
"""Seconds in which a strict account does not show what was just made."""
MARKER = "made-by-airflow-distill-demo"


class Interrupted(BaseException):
    """A signal asked us to stop."""


@dataclass
class Demonstration:
    """One demonstration: its folder, processes and what it has learnt so far."""

    args: argparse.Namespace
    console: Console
    home: Path
    started: float = field(default_factory=time.monotonic)
    slots_while_waiting: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.processes = Processes(self.home / "logs")
        self.timings: dict[str, float] = {}

    def clock(self) -> str:
        """Return the time since the start as `m:ss`."""
        seconds = int(time.monotonic() - self.started)
        return f"{seconds // 60}:{seconds % 60:02d}"

    def say(self, text: str) -> None:
        """Print one line with the time since the start."""
        line = Text.assemble((self.clock(), "dim"), "  ", one_line(text))
        self.console.print(line, highlight=False, soft_wrap=True)

    @contextlib.contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Keep how long a part took."""
        begun = time.monotonic()
        yield
        self.timings[what] = time.monotonic() - begun


def demonstrate(args: argparse.Namespace) -> int:
    """Run everything and return the exit status.

    0: the loop ended in a verdict; 1: it did not; 2: the arguments cannot be used; 130: stopped by a signal.
    """
    console = Console()
    errors = Console(stderr=True)
    try:
        check_arguments(args)
        traffic = read_traffic(args.traffic, args.prompts) if args.traffic else shipped_traffic()
        home = fresh_home(args.home)
    except DistillError as error:
        errors.print(f"demo: {error}", style="red", markup=False, soft_wrap=True)
        return 2
    demo = Demonstration(args, console, home)
    previous = {
        number: signal.signal(number, _interrupt) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        return _perform(demo, traffic)
    except Interrupted as stop:
        errors.print(f"\ndemo: stopped by {stop}; ending every process", style="yellow")
        return 130
    except DistillError as error:
        errors.print(f"demo: {error}", style="red", markup=False, soft_wrap=True)
        errors.print(f"Logs are in {home / 'logs'}", markup=False, soft_wrap=True)
        return 1
    finally:
        for number in previous:
            signal.signal(number, signal.SIG_IGN)
        demo.processes.stop()
        for number, handler in previous.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: Any) -> None:
    raise Interrupted(signal.Signals(number).name)


def check_arguments(args: argparse.Namespace) -> None:
    """Refuse what cannot work before anything is started.

    What was not given gets its value here: `--strict` stands for the hardest account.

    :raises ConfigurationError: a port is taken, too few prompts are asked for, or a number is out of bounds.
    """
    for name, port in (("--port", args.port), ("--sandbox-port", args.sandbox_port)):
        if port and not port_is_free(port):
            raise ConfigurationError(
                f"{name} {port}: something listens on that port already.", hint="choose another"
            )
    if not 0 < args.margin < 1:
        raise ConfigurationError(
            f"--margin {args.margin} is not between 0 and 1.", hint="0.05 is strict, 0.15 lenient"
        )
    if args.read_lag is None:
        args.read_lag = STRICT_LAG if args.strict else 0.0
    if args.quota_units is None:
        args.quota_units = 1
    args.managed_policies = args.managed_policies or args.strict
    if not 0 <= args.read_lag <= 60:
        raise ConfigurationError(
            f"--read-lag {args.read_lag:g} is not between 0 and 60 seconds.",
            hint="60 s is the most that was reported",
        )
    if not 0 <= args.quota_units <= 100:
        raise ConfigurationError(
            f"--quota-units {args.quota_units} is not between 0 and 100.", hint="1 is enough for one host"
        )
    if args.prompts < 150:
        raise ConfigurationError(
            f"--prompts {args.prompts} is too few.", hint="give at least 150: Bedrock wants 100 to train on"
        )


def conditions_text(args: argparse.Namespace) -> str:
    """Say in one line how the account is harder than usual; empty when it is not."""
    parts = []
    if args.read_lag:
        parts.append(f"new resources are shown after {args.read_lag:g} s")
    if args.strict or args.quota_units != 1:
        parts.append(f"the quota of model units is {args.quota_units}")
    if args.managed_policies:
        parts.append("the role has managed policies")
    return f"the account is strict: {', '.join(parts)}" if parts else ""


def fresh_home(home: Path) -> Path:
    """Return an empty folder; one left by an earlier demonstration is emptied, any other folder is refused.

    :raises ConfigurationError: the folder holds something that is not ours.
    """
    home = home.resolve()
    if home.exists():
        if not home.is_dir() or (any(home.iterdir()) and not (home / MARKER).is_file()):
            raise ConfigurationError(f"--home {home} is not empty and not ours.", hint="name a new folder")
        shutil.rmtree(home)
    home.mkdir(mode=0o700, parents=True)  # it holds prompts, answers and Airflow's secret
    (home / MARKER).touch()
    return home


def dag_file() -> Path:
    """Return the example Dag: beside the package in a wheel, in `dags/` in a checkout."""
    name = f"{DAG_ID}.py"
    for folder in (
        Path(str(resources.files("airflow_distill"))) / "example_dags",
        Path(__file__).parents[2] / "dags",
    ):
        if (folder / name).is_file():
            return folder / name
    raise ConfigurationError(f"The example Dag {name} is not part of this installation.")


def _perform(demo: Demonstration, traffic: Traffic) -> int:
    console = demo.console
    console.print(
        "[bold]airflow-distill demo[/bold]: a local Bedrock, a real Airflow, one loop", highlight=False
    )
    with demo.timed("start"):
        airflow, endpoint_url = _start(demo, traffic)
    run_id = airflow.trigger(DAG_ID, _run_parameters(demo, traffic))
    demo.say(f"triggered the Dag {DAG_ID}; Airflow's UI is at {airflow.url}")
    with demo.timed("loop"):
        state = _watch(demo, airflow, run_id)
    receipts = _receipts(airflow, run_id)
    verdict = (receipts.get("decision") or {}).get("verdict")
    meter = _steer(demo, "GET", "meter")
    gateways = AwsGateways(lambda service: application.client(service, endpoint_url))
    facts = closing_facts(receipts, meter, load_scorecard(receipts, gateways.objects))
    if verdict == "promote":
        facts += _ask_the_student(receipts, endpoint_url, traffic)
    if looks := len(demo.slots_while_waiting):
        slots = max(demo.slots_while_waiting)
        facts.append(
            ("worker slots", f"{slots} taken while the job ran and its task was deferred ({looks} looks)")
        )
    facts.append(("time", f"{demo.clock()} in all, {demo.timings['start']:.0f} s of it until Airflow was up"))
    console.print()
    console.print(summary_table(facts))
    for report in write_report(demo.home, facts, receipts, meter, demo.timings, gateways.objects):
        console.print(f"Report: {report}", highlight=False, markup=False, soft_wrap=True)
    _explain_failures(demo, airflow, run_id, state)
    ended_in_verdict = verdict is not None and state == "success"
    if demo.args.strict and (twice := bought_twice(meter)):
        demo.console.print(f"Bought more than once: {twice}", style="red", highlight=False, markup=False)
        ended_in_verdict = False
    if demo.args.keep:
        _second_workload(demo, airflow, endpoint_url, traffic)
        _keep(demo, airflow, endpoint_url)
    return 0 if ended_in_verdict else 1


def _start(demo: Demonstration, traffic: Traffic) -> tuple[LocalAirflow, str]:
    dags = demo.home / "dags"
    dags.mkdir()
    shutil.copy(dag_file(), dags)
    airflow = LocalAirflow(
        home=demo.home / "airflow", dags=dags, port=demo.args.port or free_port(), processes=demo.processes
    )
    airflow.begin_migration()
    endpoint_url = _start_sandbox(demo, traffic)
    account = application.open_account(endpoint_url, managed_policies=demo.args.managed_policies)
    if conditions := conditions_text(demo.args):
        demo.say(conditions)
    airflow.variables |= {
        "AIRFLOW__AIRFLOW_DISTILL__PAGES": "True",
        "AIRFLOW__AIRFLOW_DISTILL__AWS_CONN_ID": "distill_aws",
    }
    airflow.variables["AIRFLOW_CONN_DISTILL_AWS"] = application.airflow_connection(endpoint_url, account)
    demo.say("Airflow is starting (api-server, scheduler, Dag processor, triggerer)")
    airflow_ready = _while_starting(airflow)
    calls = plan_calls(traffic, WORKLOAD)
    demo.say(f"an application asks the teacher {TEACHER}: {len(calls):,} calls from {traffic.source}")
    _plan_refusals(demo, len(calls))
    played = application.play(endpoint_url, TEACHER, calls)
    _steer(demo, "DELETE", "faults")
    _steer(demo, "POST", "flush")
    demo.say(
        f"the application made {played.calls:,} calls, {played.refused:,} were refused; Bedrock logged them to S3"
    )
    airflow_ready()
    demo.say("Airflow is up")
    return airflow, endpoint_url


def _while_starting(airflow: LocalAirflow) -> Any:
    """Start the components in a thread while traffic is played; the returned function waits for them."""
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(1)
    future = pool.submit(airflow.start)

    def ready() -> None:
        future.result()
        pool.shutdown()
        airflow.wait_until_healthy(DAG_ID)

    return ready


def _start_sandbox(demo: Demonstration, traffic: Traffic) -> str:
    answers = demo.home / "traffic.jsonl"
    with answers.open("w", encoding="utf-8") as stream:
        for pair in (*traffic.pairs, *traffic.others):
            row = {"prompt": pair.prompt, "completion": pair.completion, "system": pair.system or ""}
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    ready_file = demo.home / READY_FILE
    command = [sys.executable, "-m", "airflow_distill.cli.main", "sandbox", "start"]
    command += ["--port", str(demo.args.sandbox_port), "--ready-file", str(ready_file)]
    command += ["--traffic", str(answers), "--pace", "seconds:3"]
    for quota in ("model-units-no-commitment", "model-units-no-commitment-per-model"):
        command += ["--quota", f"{quota}={demo.args.quota_units}"]
    command += ["--option", f"read_lag_seconds={demo.args.read_lag:g}"]
    demo.processes.start("sandbox", command, {**os.environ, "PYTHONUNBUFFERED": "1"})
    wait_until("The sandbox", ready_file.is_file, demo.processes, timeout=60, pause=0.1)
    endpoint_url = str(json.loads(ready_file.read_text())["endpoint_url"])
    job_pace = {"pace": "seconds:10", "kind": "customization-job"}
    _steer(demo, "POST", "pace", job_pace)
    demo.say(f"the sandbox (Bedrock, S3, IAM, STS, SSM) answers at {endpoint_url}")
    return endpoint_url


def _steer(demo: Demonstration, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Ask the admin interface of the demonstration's sandbox, with the token of its ready file."""
    ready = json.loads((demo.home / READY_FILE).read_text())
    headers = {"X-Sandbox-Token": str(ready["token"])}
    answer = httpx.request(method, f"{ready['admin_url']}/{path}", json=body, headers=headers, timeout=30)
    return answer.raise_for_status().json()


def _plan_refusals(demo: Demonstration, calls: int) -> None:
    """Let the teacher throttle one call in a hundred, as a busy account sees it; the log reader has to cope."""
    fault = {"operation": "Converse", "kind": "throttle", "rate": 0.01, "seed": calls}
    _steer(demo, "POST", "faults", fault)


def _run_parameters(demo: Demonstration, traffic: Traffic) -> dict[str, Any]:
    chosen: dict[str, Any] = {"workload": WORKLOAD, "poll_seconds": 2, "margin": demo.args.margin}
    if traffic.classification:
        return chosen | {"metric": "label_accuracy"}
    # Questions about the same passages look like copies of each other, and each is worth keeping.
    return chosen | {
        "metric": "token_f1",
        "near_duplicates": None,
        "heldout": 0.2 if len(traffic.pairs) < 1000 else 0.1,
    }


def _watch(demo: Demonstration, airflow: LocalAirflow, run_id: str) -> str:
    end = time.monotonic() + TASKS_IN_ORDER_LIMIT
    facts: dict[str, str] = {}
    order = [
        task["task_id"] for task in airflow.call("GET", f"/dags/{DAG_ID}/tasks?order_by=start_date")["tasks"]
    ]
    with Progress(demo.console, DAG_ID) as progress:
        while True:
            demo.processes.check()
            state = airflow.run_state(DAG_ID, run_id)
            instances = {task["task_id"]: task for task in airflow.task_instances(DAG_ID, run_id)}
            if instances.get("wait", {}).get("state") == "deferred":
                demo.slots_while_waiting.append(airflow.running_slots())
            progress.update(_rows(airflow, run_id, order, instances, facts), demo.clock())
            if state in {"success", "failed"}:
                return state
            if time.monotonic() > end:
                raise AirflowApiError(f"The run did not end within {TASKS_IN_ORDER_LIMIT:.0f} s.")
            time.sleep(1)


def _rows(
    airflow: LocalAirflow, run_id: str, order: list[str], instances: dict[str, Any], facts: dict[str, str]
) -> list[TaskRow]:
    known = {t: (instances[t].get("start_date") or "9") for t in order if t in instances}
    rows = []
    for task_id in sorted(order, key=lambda t: known.get(t, "9")):
        task = instances.get(task_id, {})
        state = task.get("state") or "waiting"
        if state in DONE and task_id not in facts:
            facts[task_id] = fact_of(airflow.xcom(DAG_ID, run_id, task_id)) if state == "success" else ""
        rows.append(TaskRow(task_id, state, task.get("duration"), facts.get(task_id, "")))
    return rows


def _receipts(airflow: LocalAirflow, run_id: str) -> dict[str, Any]:
    """Return the receipts of a run by kind; the last task of a kind wins (the job's wait over its submit)."""
    receipts: dict[str, Any] = {}
    instances = airflow.task_instances(DAG_ID, run_id)
    for task in sorted(instances, key=lambda t: t.get("end_date") or ""):
        receipt = airflow.xcom(DAG_ID, run_id, task["task_id"])
        if isinstance(receipt, dict) and "kind" in receipt:
            receipts[receipt["kind"]] = receipt
    return receipts


def _ask_the_student(receipts: dict[str, Any], endpoint_url: str, traffic: Traffic) -> list[tuple[str, str]]:
    host = (receipts.get("deployment") or {}).get("host_arn")
    if not host:
        return []
    pair = min(traffic.pairs, key=lambda p: len(p.prompt))
    answer = application.ask_once(endpoint_url, host, Call(pair.prompt, pair.system, "Converse", {}))
    return [("asked the student", _short(pair.prompt)), ("it answered", _short(answer))]


def _short(text: str, most: int = 160) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"


def _explain_failures(demo: Demonstration, airflow: LocalAirflow, run_id: str, state: str) -> None:
    if state == "success":
        return
    failed = [t for t in airflow.task_instances(DAG_ID, run_id) if t["state"] == "failed"]
    for task in failed:
        demo.console.print(f"The task {task['task_id']} failed.", style="red", highlight=False, markup=False)
    folder = demo.home / "airflow" / "logs" / f"dag_id={DAG_ID}"
    demo.console.print(f"Task logs are in {folder}", highlight=False, markup=False, soft_wrap=True)


def _second_workload(demo: Demonstration, airflow: LocalAirflow, endpoint_url: str, traffic: Traffic) -> None:
    """Begin a run of a second workload, held to a stricter margin, so that the pages have two to show."""
    few = replace(traffic, pairs=traffic.pairs[:SECOND_PAIRS], others=())
    application.play(endpoint_url, TEACHER, plan_calls(few, SECOND))
    _steer(demo, "POST", "flush")
    airflow.trigger(DAG_ID, {**_run_parameters(demo, traffic), "workload": SECOND, "margin": STRICT})
    demo.say(f"a run of a second workload, {SECOND}, is on its way")


def _keep(demo: Demonstration, airflow: LocalAirflow, endpoint_url: str) -> None:
    demo.console.print(
        f"\nAirflow's UI: {airflow.url} (no login: everybody is admin on this machine)\n"
        f"Where the workloads stand: {airflow.url}/plugin/distill-workloads\n"
        f"Sandbox: {endpoint_url}\nCtrl-C ends both.",
        highlight=False,
        markup=False,
    )
    with contextlib.suppress(Interrupted):
        while True:
            demo.processes.check()
            time.sleep(1)

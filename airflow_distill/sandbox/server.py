"""`Sandbox`: the whole stand-in in one process, as a context manager, with what a test wants at hand.

Puts the rooms together: world, dispatcher, HTTP server, a ticking thread (time, log delivery, saving), and the admin
interface. Bedrock's state belongs to one `Sandbox`; S3, IAM and the other neighbours are moto's and therefore shared
by all sandboxes that run at one time in a process. One that starts alone starts without what another left there.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import threading
import traceback
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from airflow_distill.sandbox import moto_door
from airflow_distill.sandbox.admin import Admin
from airflow_distill.sandbox.catalogue import read_catalogue
from airflow_distill.sandbox.clock import Clock
from airflow_distill.sandbox.dispatch import Dispatcher
from airflow_distill.sandbox.faults import Faults
from airflow_distill.sandbox.http_server import HttpServer
from airflow_distill.sandbox.lifecycle import Pace
from airflow_distill.sandbox.operations import ADVANCERS, load_all
from airflow_distill.sandbox.persistence import StateFolder
from airflow_distill.sandbox.store import ACCOUNT
from airflow_distill.sandbox.students import warm_up as warm_up_students
from airflow_distill.sandbox.traffic import Pair, pair_from, read_traffic
from airflow_distill.sandbox.world import World

CREDENTIALS = ("AKIAIOSFODNN7EXAMPLE", "sandbox-secret")
SERVICES = ("bedrock", "bedrock-runtime", "s3", "sts", "iam", "ssm", "kms", "service-quotas")
_TICK_SECONDS = 0.05

_running: set[Sandbox] = set()
_start_lock = threading.Lock()


class Sandbox:
    """A running local Bedrock.

    `pace` is `instant`, `reads:N` or `seconds:S`; `traffic` a file or pairs the teacher shall know; `state` a folder
    that keeps everything over a restart, its user's own and nobody else's; `models` a table of models that
    lies over the packaged one. `admin_token` is what steering over HTTP needs.
    `warm_up` imports in the background what first requests would wait for; only for a process of the sandbox's own, because
    two threads that import at the same time can meet half-made modules.
    """

    def __init__(
        self,
        port: int = 0,
        pace: Pace | str = "instant",
        state: str | Path | None = None,
        traffic: str | Path | Iterable[Pair | Mapping[str, str]] | None = None,
        *,
        log_delay: float = 1.0,
        quotas: Mapping[str, float] | None = None,
        options: Mapping[str, Any] | None = None,
        models: str | Path | None = None,
        warm_up: bool = False,
    ) -> None:
        load_all()
        self.world = World(pace, read_catalogue(models))
        self.world.advancers = ADVANCERS
        self.world.logbook.settings.delay_seconds = log_delay
        if traffic is not None:
            self.world.teach(pairs_of(traffic), at_start=True)
        self._quotas, self._options = dict(quotas or {}), dict(options or {})
        self._apply_settings()
        self._folder = None if state is None else StateFolder(Path(state), self.world)
        self.admin_token = secrets.token_urlsafe(24)
        self._dispatcher = Dispatcher(self.world, Admin(self).respond, self.admin_token)
        self._http = HttpServer(self._dispatcher.respond, port)
        self._ending = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="sandbox-tick", daemon=True)
        self._warms_up = warm_up
        self._session: Any = None
        self._own_clients: dict[tuple[str, str], Any] = {}
        self._session_lock = threading.Lock()

    def _apply_settings(self) -> None:
        for name, value in self._quotas.items():
            self.world.set_quota(name, value)
        for name, value in self._options.items():
            self.world.options.change(name, value)

    # --- life ---

    def start(self) -> Sandbox:
        """Serve; returns when requests are answered. Alone in its process, it begins with empty neighbours.

        :raises SandboxUsageError: the state folder cannot be used, or another sandbox uses it.
        """
        with _start_lock:
            if not _running:
                moto_door.reset()
            if self._folder is not None:
                self._folder.claim()
                try:
                    self._folder.load()
                except BaseException:
                    self._folder.release()
                    raise
            _running.add(self)
        self._http.start()
        self._ticker.start()
        if self._warms_up:
            threading.Thread(target=_warm_up, name="sandbox-warm-up", daemon=True).start()
        return self

    def stop(self) -> None:
        """End; what is still to be logged is delivered, and the state is saved when there is a folder for it."""
        with _start_lock:
            if self not in _running:
                return
            _running.discard(self)
        self._ending.set()
        self._ticker.join(5)
        self._http.stop()
        self.world.logbook.flush()
        if self._folder is not None:
            self._folder.save()
            self._folder.release()
        self.world.close()

    def __enter__(self) -> Sandbox:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _tick(self) -> None:
        while not self._ending.wait(_TICK_SECONDS):
            try:
                self.world.tick()
                self.world.logbook.tick()
                if self._folder is not None:
                    self._folder.save_if_changed()
            except Exception:
                # Time must go on; what went wrong is for whoever reads the sandbox's own error output.
                traceback.print_exc(file=sys.stderr)

    # --- where it is ---

    @property
    def port(self) -> int:
        return self._http.port

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin_url(self) -> str:
        return f"{self.endpoint_url}/_sandbox"

    def client(self, service: str, region: str = "us-east-1", **config: Any) -> Any:
        """A boto3 client that talks to this sandbox."""
        import boto3
        from botocore.config import Config

        # One session, because it reads the SDK's models once; making clients of it is not safe from several threads.
        with self._session_lock:
            if self._session is None:
                self._session = boto3.session.Session(*CREDENTIALS)
            return self._session.client(
                service,
                region_name=region,
                endpoint_url=self.endpoint_url,
                config=Config(**{"retries": {"mode": "standard", "total_max_attempts": 1}, **config}),
            )

    def _own_client(self, service: str, region: str) -> Any:
        """A client made once, for what the sandbox itself sets up."""
        found = self._own_clients.get((service, region))
        if found is None:
            found = self._own_clients[(service, region)] = self.client(service, region)
        return found

    def environment(self, region: str = "us-east-1") -> dict[str, str]:
        """Environment variables for boto3, the AWS CLI and Airflow's connections `aws_default` and `distill_aws`."""
        connection = airflow_connection(self.endpoint_url, region)
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": CREDENTIALS[0],
            "AWS_SECRET_ACCESS_KEY": CREDENTIALS[1],
            "AWS_DEFAULT_REGION": region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AIRFLOW_CONN_AWS_DEFAULT": connection,
            "AIRFLOW_CONN_DISTILL_AWS": connection,
        }

    # --- what a test sets up ---

    def prepare(
        self, bucket: str = "distill-sandbox", role: str = "distill-sandbox", region: str = "us-east-1"
    ) -> str:
        """A bucket and a service role that Bedrock may use for everything; returns the role's ARN."""
        s3, iam = self._own_client("s3", region), self._own_client("iam", region)
        if self.world.neighbours.bucket_region(bucket) is None:
            location = (
                {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
            )
            s3.create_bucket(Bucket=bucket, **location)
        arn = f"arn:aws:iam::{ACCOUNT}:role/{role}"
        if self.world.neighbours.role(arn) is None:
            iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(TRUST_POLICY))
            iam.put_role_policy(
                RoleName=role, PolicyName="bedrock-work", PolicyDocument=json.dumps(SERVICE_ROLE_POLICY)
            )
        return arn

    def enable_logging(
        self, bucket: str = "distill-sandbox", prefix: str = "", region: str = "us-east-1"
    ) -> None:
        """Switch invocation logging to S3 on."""
        self._own_client("bedrock", region).put_model_invocation_logging_configuration(
            loggingConfig={
                "s3Config": {"bucketName": bucket, "keyPrefix": prefix},
                "textDataDeliveryEnabled": True,
            }
        )

    # --- levers ---

    @property
    def clock(self) -> Clock:
        return self.world.clock

    @property
    def faults(self) -> Faults:
        return self.world.faults

    def reset(self) -> None:
        """Empty everything (S3 and IAM too); pace, traffic and options are as at the start."""
        self.world.reset()
        self._apply_settings()

    def meter(self) -> dict[str, Any]:
        """The bill and the call counts so far."""
        return self.world.meter.read(self.world.clock.now())

    def calls(self, operation: str) -> int:
        """How often an operation was called, whatever came of it."""
        return sum(self.meter()["calls"].get(operation, {}).values())

    def flush_logs(self) -> int:
        """Deliver all waiting invocation logs now; returns how many were ever delivered."""
        return self.world.logbook.flush()

    def teach(self, pairs: str | Path | Iterable[Pair | Mapping[str, str]] | None) -> int:
        """Give the teacher other pairs to know; returns how many distinct prompts it knows."""
        return self.world.teach(None if pairs is None else pairs_of(pairs))

    def play(self, items: Sequence[Mapping[str, Any]], **defaults: Any) -> int:
        """Write invocation records as if an application had made these calls, at any time; see the guide.

        Each item has `prompt`, and perhaps `system`, `completion`, `metadata`, `timestamp`, `operation`, `error`,
        `model_id`, `region`; keyword arguments are defaults for all. Nothing is billed. Returns how many were played.
        """
        from airflow_distill.sandbox.operations.call_records import play

        for number, item in enumerate(items):
            play(self.world, item, defaults, number)
        self.world.logbook.flush()
        return len(items)

    def settings(self) -> dict[str, Any]:
        """What is set, for the status page."""
        world = self.world
        return {
            "pace": str(world.default_pace),
            "paces": {kind: str(pace) for kind, pace in world.paces.items()},
            "options": {name: getattr(world.options, name) for name in world.options.__slots__},
            "quotas": world.quotas,
            "logs": {
                "delay_seconds": world.logbook.settings.delay_seconds,
                "offload_bytes": world.logbook.settings.offload_bytes,
                "late_body_seconds": world.logbook.settings.late_body_seconds,
            },
        }


TRUST_POLICY: Mapping[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "bedrock.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}
SERVICE_ROLE_POLICY: Mapping[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:ListBucket"], "Resource": "*"},
        {"Effect": "Allow", "Action": ["bedrock:InvokeModel"], "Resource": "*"},
    ],
}


def pairs_of(traffic: str | Path | Iterable[Pair | Mapping[str, str]]) -> list[Pair]:
    """Pairs out of a file's path, pairs or mappings."""
    if isinstance(traffic, (str, os.PathLike)):
        return read_traffic(traffic)
    return [
        item if isinstance(item, Pair) else pair_from(item, f"pair {n}") for n, item in enumerate(traffic, 1)
    ]


def airflow_connection(endpoint_url: str, region: str = "us-east-1") -> str:
    """The value of an `AIRFLOW_CONN_...` variable for a sandbox."""
    return json.dumps(
        {
            "conn_type": "aws",
            "login": CREDENTIALS[0],
            "password": CREDENTIALS[1],
            "extra": {
                "region_name": region,
                "endpoint_url": endpoint_url,
                "service_config": {service: {"endpoint_url": endpoint_url} for service in SERVICES},
            },
        }
    )


def _warm_up() -> None:
    moto_door.warm_up()
    warm_up_students()

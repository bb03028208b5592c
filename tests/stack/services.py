"""PostgreSQL, a message broker and Secrets Manager on 127.0.0.1, as a platform keeps them beside Airflow.

PostgreSQL and Redis are Debian's; when they are missing and we are root, apt-get installs them. PostgreSQL refuses to run
as root, so it then runs as the user that Debian made for it. SQS and Secrets Manager are moto's. Each is ended by its own
process.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

from airflow_distill.demo.processes import Processes, free_port, wait_until

DEBIAN = ("postgresql", "redis-server")
USER = "postgres"
REGION = "us-east-1"
CREDENTIALS = {"aws_access_key_id": "sandbox", "aws_secret_access_key": "sandbox"}


def program(name: str) -> str | None:
    """Return the path of a server's program; Debian keeps PostgreSQL's outside the PATH."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(debian[-1]) if debian else shutil.which(name)


def install_servers() -> None:
    """Install PostgreSQL and Redis with apt-get where they are missing.

    :raises RuntimeError: they are missing and cannot be installed.
    """
    if program("initdb") and program("redis-server"):
        return
    command = "apt-get update -qq && apt-get install -y -qq --no-install-recommends " + " ".join(DEBIAN)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise RuntimeError(f"PostgreSQL or Redis is missing. Install them first: {command}")
    subprocess.run(
        command, shell=True, check=True, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, timeout=300
    )


def someone_else() -> dict[str, Any]:
    """Return how to start a program that refuses to run as root."""
    return {"user": USER, "group": pwd.getpwnam(USER).pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}


def folder_of_theirs(prefix: str) -> Path:
    """Return a new folder that belongs to whoever runs the servers."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    if os.geteuid() == 0:
        shutil.chown(folder, USER)
    return folder


@dataclass
class Postgres:
    """A database server with one empty database, `airflow`."""

    port: int = field(default_factory=free_port)
    folder: Path = field(default_factory=lambda: folder_of_theirs("stack-postgres-"))

    @property
    def url(self) -> str:
        return f"postgresql+psycopg2://airflow@127.0.0.1:{self.port}/airflow"

    def create(self) -> None:
        """Make the cluster, start it and make the database."""
        self._run("initdb", "-D", "data", "-U", "airflow", "--auth=trust", "--encoding=UTF8", "--no-sync")
        self.start()
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "airflow", "airflow")

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c max_connections=300 -c fsync=off -k {self.folder}"
        self._run("pg_ctl", "-D", "data", "-w", "-t", "60", "-l", "postgres.log", "-o", options, "start")

    def stop(self) -> None:
        """Stop at once and cut every connection, as a failover does."""
        self._run("pg_ctl", "-D", "data", "-w", "-m", "immediate", "stop")

    def close(self) -> None:
        if (self.folder / "data/postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, name: str, *words: str) -> None:
        found = program(name)
        assert found, name
        ended = subprocess.run(
            [found, *words],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
            **someone_else(),
        )
        assert ended.returncode == 0, f"{name} {words}: {ended.stderr}"


@dataclass
class Neighbours:
    """SQS or Redis for Celery, and Secrets Manager."""

    processes: Processes
    port: int = field(default_factory=free_port)
    redis_port: int = field(default_factory=free_port)
    is_sqs: bool = field(default_factory=lambda: bool(importlib.util.find_spec("pycurl")))
    """Celery's SQS transport needs pycurl; without it Redis carries the messages."""

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def broker(self) -> str:
        return "SQS (moto)" if self.is_sqs else "Redis"

    @property
    def settings(self) -> dict[str, str]:
        """Return Airflow's settings for the broker, without their prefix."""
        if not self.is_sqs:
            return {"CELERY__BROKER_URL": f"redis://127.0.0.1:{self.redis_port}/0"}
        return {
            "CELERY__BROKER_URL": f"sqs://sandbox:sandbox@127.0.0.1:{self.port}",
            "CELERY_BROKER_TRANSPORT_OPTIONS__REGION": REGION,
            "CELERY_BROKER_TRANSPORT_OPTIONS__IS_SECURE": "False",
            "CELERY_BROKER_TRANSPORT_OPTIONS__WAIT_TIME_SECONDS": "1",
            "CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": "43200",
        }

    def start(self) -> None:
        """Start both; returns when they answer."""
        quiet = {**os.environ, "PYTHONWARNINGS": "ignore"}
        moto = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self.processes.start("moto", moto, quiet)
        if not self.is_sqs:
            self._start_redis()
        wait_until("moto", self._answers, self.processes, timeout=120)

    def _start_redis(self) -> None:
        found = program("redis-server")
        assert found
        words = ["--port", str(self.redis_port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.processes.start("redis", [found, *words], os.environ)

    def _answers(self) -> bool:
        try:
            self._client("secretsmanager").list_secrets()
        except Exception:
            return False
        return True

    def keep_secret(self, name: str, value: str) -> None:
        """Keep a secret in Secrets Manager."""
        self._client("secretsmanager").create_secret(Name=name, SecretString=value)

    def _client(self, service: str) -> Any:
        return boto3.client(service, endpoint_url=self.endpoint_url, region_name=REGION, **CREDENTIALS)


def environment_of(settings: Mapping[str, str]) -> dict[str, str]:
    """Return Airflow's settings as environment variables."""
    return {f"AIRFLOW__{name}": value for name, value in settings.items()}

"""An Airflow like Amazon MWAA's: PostgreSQL, Celery with two workers that share no folder, an api-server under gunicorn.

Each worker has a home, a Dag folder, a temporary folder and a name of its own. What ends by itself is started again, as the
platform's containers are, and that is counted.
"""

from __future__ import annotations

import json
import shutil
import signal
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_distill.demo.airflow import COMPONENTS
from airflow_distill.demo.processes import Processes, free_port
from tests.real_airflow.running import QUICK, RealAirflow
from tests.stack.services import REGION, Neighbours, Postgres, environment_of

WORKERS = ("worker-1", "worker-2")
SECRETS = {
    "connections_prefix": "airflow/connections",
    "connections_lookup_pattern": "^(?!aws_default$).+",
    "variables_prefix": "airflow/variables",
    "region_name": REGION,
}
"""`aws_default` is not looked up in Secrets Manager: the environment has it, as on MWAA."""

NAMES = '''"""The name of a machine, for machines that share one."""

import os


def name():
    return os.environ.get("STACK_NAME", "elsewhere")
'''


@dataclass
class Cost:
    """What the process of one task took, from its fork to its end."""

    task_id: str
    map_index: int
    worker: str
    state: str
    seconds: float
    processor_seconds: float
    megabytes: float


@dataclass
class Stack(RealAirflow):
    """The whole platform in one folder; `start_all` and `close` begin and end it.

    `slots` is how many tasks a worker that is started from now on runs at once.
    """

    database: Postgres = field(default_factory=Postgres)
    restarted: Counter[str] = field(default_factory=Counter)
    slots: int = 3

    def __post_init__(self) -> None:
        self.neighbours = Neighbours(self.processes)

    @classmethod
    def at(cls, home: Path, variables: Mapping[str, str]) -> Stack:
        dags = home / "dags"
        dags.mkdir(parents=True)
        return cls(
            home=home,
            dags=dags,
            port=free_port(),
            processes=Processes(home / "logs"),
            variables={**QUICK, **variables},
        )

    def environment(self) -> dict[str, str]:
        settings = {
            "CORE__EXECUTOR": "CeleryExecutor",
            "CORE__HOSTNAME_CALLABLE": "stack_names.name",
            "CORE__EXECUTE_TASKS_NEW_PYTHON_INTERPRETER": "True",  # as MWAA sets it
            "CORE__PARALLELISM": "16",
            "DATABASE__SQL_ALCHEMY_CONN": self.database.url,
            "CELERY__RESULT_BACKEND": f"db+{self.database.url}",
            "CELERY__SYNC_PARALLELISM": "1",
            "CELERY__OPERATION_TIMEOUT": "30",
            "OPERATORS__DEFAULT_QUEUE": "default",
            # What a killed worker had taken from the queue comes back; the platform waits ten minutes, we do not.
            "SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
            "SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "10",
            "WORKERS__EXECUTION_API_TIMEOUT": "30",  # seconds; the whole platform shares two cores
            "API__SERVER_TYPE": "gunicorn",
            "API__WORKERS": "2",
            "SECRETS__BACKEND": "airflow.providers.amazon.aws.secrets.secrets_manager.SecretsManagerBackend",
            "SECRETS__BACKEND_KWARGS": json.dumps({**SECRETS, "endpoint_url": self.neighbours.endpoint_url}),
            **self.neighbours.settings,
        }
        given = super().environment()
        return {
            **given,
            **environment_of(settings),
            "PYTHONPATH": str(self.home / "names"),
            "STACK_NAME": "elsewhere",
            "AIRFLOW_CONN_AWS_DEFAULT": "aws://",
            "AWS_ACCESS_KEY_ID": "sandbox",
            "AWS_SECRET_ACCESS_KEY": "sandbox",
            "AWS_DEFAULT_REGION": REGION,
        }

    def environment_of_worker(self, name: str) -> dict[str, str]:
        """Return a worker's environment; nothing in it leads to another's folder."""
        home = self.home / name
        (home / "tmp").mkdir(parents=True, exist_ok=True)
        return {
            **self.environment(),
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
            "TMPDIR": str(home / "tmp"),
            "STACK_NAME": name,
        }

    def add_dags(self, folder: Path) -> None:
        """Bring a folder of Dags to every component, as a platform copies them from its bucket."""
        for target in (self.dags, *(self.home / name / "dags" for name in WORKERS)):
            shutil.copytree(folder, target, dirs_exist_ok=True)

    def begin_migration(self) -> None:
        names = self.home / "names"
        names.mkdir()
        (names / "stack_names.py").write_text(NAMES)
        for name in WORKERS:
            plugins = self.home / name / "plugins"
            plugins.mkdir(parents=True)
            shutil.copy(Path(__file__).parent / "task_costs.py", plugins)
        self.database.create()
        self.neighbours.start()
        super().begin_migration()

    def start(self) -> None:
        super().start()
        for name in WORKERS:
            self.start_component(name)

    def start_component(self, name: str) -> None:
        """Start a component by its name; a worker's begins with `worker`, a triggerer's with `triggerer`."""
        if name in WORKERS:
            words = ["celery", "worker", "--celery-hostname", f"{name}@%h", "--skip-serve-logs"]
            words += ["--without-mingle", "--without-gossip", "--concurrency", str(self.slots)]
            self.processes.start(name, self.command(*words), self.environment_of_worker(name))
        else:
            words = COMPONENTS["triggerer" if name.startswith("triggerer") else name]
            self.processes.start(name, self.command(*words), self.environment())

    def kill(self, name: str) -> None:
        """End a component and all it has started at once, as the kernel does; it stays away."""
        process = self.processes.running.pop(name)
        self._signal(process.pid, signal.SIGKILL)
        process.wait()

    def look_after(self) -> None:
        """Start again what ended by itself, as a platform does with its containers."""
        for name, process in list(self.processes.running.items()):
            if process.poll() is not None:
                self.restarted[name] += 1
                del self.processes.running[name]
                self.start_component(name)

    def costs(self) -> list[Cost]:
        """Return what tasks took that ran to an end on the workers, in order."""
        found = []
        for name in WORKERS:
            path = self.home / name / "task_costs.jsonl"
            if path.exists():
                found += [json.loads(line) for line in path.read_text().splitlines()]
        return [Cost(**row) for row in found]

    def shards_by_worker(self, instances: Iterable[Mapping[str, Any]]) -> Counter[str]:
        """Return how many of a run's shards each worker read."""
        return Counter(
            str(each["hostname"]) for each in instances if str(each["task_id"]).endswith("harvest_shard")
        )

    def close(self) -> None:
        try:
            super().close()
        finally:
            self.database.close()

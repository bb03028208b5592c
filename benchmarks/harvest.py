"""How fast the harvest is, as ratios to decompressing the same objects, in one run on this machine.

Makes its own Region-day of invocation logs (gzip objects of 5 to 20 MB, twenty workloads, four models, four operations,
prompts of a few hundred bytes to tens of kilobytes), then measures in fresh processes, several times each:

- decompress only, with isal, the decoder of the harvest, in blocks of the same size: 1.0; and with the standard library's;
- the harvest with a selective filter (one workload of twenty), and the same over four times the data;
- the same by two processes; and decompress only by two, which says what this machine gains from a second process;
- the same for every record, by two processes and by 16 shards one after the other, as mapped tasks read them;
- the harvest without a filter, where every record is parsed: with 1,000 prompts kept, which shows what a record costs, and
  with 15,000, which cost the same however little is read; redacted (as operators do) and as logged;
- the obvious program: the standard library's gzip and json, line by line, for scale.

Run it alone: `python benchmarks/harvest.py [--megabytes 120] [--repeats 3] [--keep FOLDER]`. The first three columns are
ratios to decompressing the same data: of wall and of processor time with isal, and of processor time with the standard
library; best of the repeats. On a machine that others use as well only processor time means much, and it too grows by some
tenths. Memory is the peak of the largest process.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from airflow_distill.stages.dataset.redact import Redaction  # noqa: E402
from airflow_distill.stages.logs.harvest import ShardTask, harvest_logs, read_harvest  # noqa: E402
from airflow_distill.stages.logs.metadata import MetadataFilter  # noqa: E402
from airflow_distill.stages.logs.selection import Selection, Window  # noqa: E402
from airflow_distill.stages.logs.source import cut_shards, iter_log_objects  # noqa: E402
from airflow_distill.stages.logs.surplus import Surplus  # noqa: E402
from airflow_distill.stages.storage import LocalStore  # noqa: E402

MODELS = (
    "anthropic.claude-3-5-sonnet-20240620-v1:0",
    "us.amazon.nova-premier-v1:0",
    "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0",
    "meta.llama3-1-405b-instruct-v1:0",
)
ANTHROPIC, _, NOVA, LLAMA = MODELS
WORKLOADS = tuple(f"workload_{number:02d}" for number in range(20))
WANTED = WORKLOADS[7]
DAY = "2026-11-20"
CALLER = "arn:aws:sts::123456789012:assumed-role/app-role/i-0abcdef1234567890"


class Words:
    """Makes text with the statistics of text: frequent words are frequent, sentences end, some letters are not ASCII."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        letters = "aaabcdeeeefghiiijklmnnoooprrssttttuuvwyz"
        self.words = [
            "".join(self.random.choices(letters, k=self.random.randint(2, 10))) for _ in range(20_000)
        ]
        self.words[50::2000] = [word + "é" for word in self.words[50::2000]]
        self.weights = [1 / (rank + 3) for rank in range(len(self.words))]
        self.cumulative: list[float] = []
        total = 0.0
        for weight in self.weights:
            total += weight
            self.cumulative.append(total)

    def text(self, size: int) -> str:
        words = self.random.choices(self.words, cum_weights=self.cumulative, k=max(3, size // 6))
        for at in range(12, len(words), 13):
            words[at] += ".\n" if at % 5 == 0 else "."
        return " ".join(words)


def records(seed: int) -> Iterator[bytes]:
    """Yield log lines for ever; about one prompt in eight was asked before."""
    words = Words(seed)
    rng = words.random
    systems = {name: words.text(1200) for name in WORKLOADS}
    asked: list[str] = []
    number = 0
    while True:
        number += 1
        size = int(min(40_000, rng.lognormvariate(7.3, 0.9)))
        prompt = rng.choice(asked) if asked and rng.random() < 0.12 else words.text(size)
        asked.append(prompt)
        del asked[:-500]
        workload = rng.choice(WORKLOADS)
        answer = words.text(int(min(8_000, rng.lognormvariate(6.3, 0.8))))
        model = rng.choice(MODELS)
        yield json.dumps(
            record(f"{seed:04x}-{number:08x}", workload, model, systems[workload], prompt, answer, rng),
            separators=(",", ":"),
            ensure_ascii=False,
        ).encode()


def record(
    request_id: str, workload: str, model: str, system: str, prompt: str, answer: str, rng: random.Random
) -> dict[str, object]:
    operation, asked, answered = bodies(model, system, prompt, answer, rng)
    return {
        "schemaType": "ModelInvocationLog",
        "schemaVersion": "1.0",
        "timestamp": f"{DAY}T{rng.randint(10, 11):02d}:{rng.randint(0, 59):02d}:{rng.randint(0, 59):02d}Z",
        "accountId": "123456789012",
        "identity": {"arn": CALLER},
        "region": "us-east-1",
        "requestId": request_id,
        "operation": operation,
        "modelId": model,
        "requestMetadata": {"workload": workload, "environment": "production", "release": "2026.11.2"},
        "input": {
            "inputContentType": "application/json",
            "inputBodyJson": asked,
            "inputTokenCount": len(system + prompt) // 4,
            "cacheReadInputTokenCount": 0,
            "cacheWriteInputTokenCount": 0,
        },
        "output": {
            "outputContentType": "application/json",
            "outputBodyJson": answered,
            "outputTokenCount": len(answer) // 4,
        },
    }


def bodies(
    model: str, system: str, prompt: str, answer: str, rng: random.Random
) -> tuple[str, dict[str, object], dict[str, object]]:
    if model == ANTHROPIC and rng.random() < 0.5:
        return (
            "InvokeModel",
            {
                "anthropic_version": "bedrock-2023-05-31",
                "max_tokens": 1024,
                "system": system,
                "messages": [{"role": "user", "content": [{"type": "text", "text": prompt}]}],
            },
            {
                "id": "msg_bdrk_01",
                "type": "message",
                "role": "assistant",
                "content": [{"type": "text", "text": answer}],
                "stop_reason": "end_turn",
                "usage": {"input_tokens": 100, "output_tokens": 50},
            },
        )
    if model == LLAMA and rng.random() < 0.5:
        template = (
            f"<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n{system}<|eot_id|>"
            f"<|start_header_id|>user<|end_header_id|>\n\n{prompt}<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n"
        )
        return (
            "InvokeModel",
            {"prompt": template, "max_gen_len": 512, "temperature": 0.2},
            {
                "generation": answer,
                "prompt_token_count": 9,
                "generation_token_count": 9,
                "stop_reason": "stop",
            },
        )
    operation = "ConverseStream" if rng.random() < 0.3 else "Converse"
    return (
        operation,
        {
            "system": [{"text": system}],
            "messages": [{"role": "user", "content": [{"text": prompt}]}],
            "inferenceConfig": {"maxTokens": 1024, "temperature": 0.2},
        },
        {
            "output": {"message": {"role": "assistant", "content": [{"text": answer}]}},
            "stopReason": "end_turn",
            "metrics": {"latencyMs": rng.randint(300, 9000)},
            "usage": {"inputTokens": 100, "outputTokens": 50, "totalTokens": 150},
        },
    )


def make_logs(folder: Path, megabytes: int) -> int:
    """Write about so many compressed megabytes of objects in Bedrock's layout; return how many there are."""
    base = folder / "AWSLogs/123456789012/BedrockModelInvocationLogs/us-east-1"
    done = number = 0
    while done < megabytes * 1_000_000:
        source = records(number)
        target = (5 + 5 * (number % 4)) * 1_000_000
        hour = 10 + number % 2
        path = (
            base
            / f"{DAY.replace('-', '/')}/{hour:02d}"
            / f"20261120T{hour:02d}0000{number:03d}Z_{number:016x}.json.gz"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, 0) as out:
            while raw.tell() < target:
                out.write(next(source) + b"\n")
        done += path.stat().st_size
        number += 1
    return number


def run_decompress(folder: str) -> str:
    return f"{decompress(log_files(folder)) / 1e6:.0f} MB of lines"


def run_decompress_by_two(folder: str) -> str:
    files = log_files(folder)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        other = pool.submit(decompress, files[1::2])
        size = decompress(files[::2]) + other.result()
    return f"{size / 1e6:.0f} MB of lines"


def log_files(folder: str) -> list[str]:
    return [str(path) for path in sorted(Path(folder).rglob("*.json.gz"))]


def decompress(files: Sequence[str]) -> int:
    from isal import igzip_lib

    from airflow_distill.stages.logs.blocks import BLOCK, CHUNK, keep_freed_memory

    keep_freed_memory()
    size = 0
    for path in files:
        decoder = igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_GZIP)
        with open(path, "rb") as stream:
            while not decoder.eof:
                chunk = stream.read(CHUNK) if decoder.needs_input else b""
                size += len(decoder.decompress(chunk, BLOCK))
    return size


def run_stdlib(folder: str) -> str:
    from airflow_distill.stages.logs.blocks import BLOCK, keep_freed_memory

    keep_freed_memory()
    size = 0
    for path in sorted(Path(folder).rglob("*.json.gz")):
        with gzip.open(path) as stream:
            while data := stream.read(BLOCK):
                size += len(data)
    return f"{size / 1e6:.0f} MB of lines"


def run_plain(folder: str) -> str:
    kept = 0
    for path in sorted(Path(folder).rglob("*.json.gz")):
        with gzip.open(path) as lines:
            for line in lines:
                data = json.loads(line)
                if data["requestMetadata"].get("workload") == WANTED and "nova-pro" in data["modelId"]:
                    kept += 1
    return f"{kept} records"


def selection_of(wanted: str | None) -> Selection:
    return Selection(
        model="amazon.nova-pro-v1:0" if wanted else "",
        window=Window.parse(f"{DAY}T00:00:00Z", f"{DAY}T23:59:59Z"),
        metadata=MetadataFilter.equals("workload", wanted) if wanted else None,
    )


def run_harvest(
    folder: str, *, wanted: str | None, limit: int = 15_000, redact: bool = True, workers: int = 1
) -> str:
    harvest = harvest_logs(
        LocalStore(),
        folder,
        selection_of(wanted),
        salt="bench",
        limit=limit,
        redact=Redaction() if redact else None,
        workers=workers,
    )
    with tempfile.TemporaryDirectory() as target:
        path = f"{target}/harvest.jsonl.gz"
        harvest.save(LocalStore(), path)
        written = Path(path).stat().st_size
    counts = harvest.counts
    assert counts.lines == counts.kept + sum(counts.skipped.values())
    usable = counts.kept + counts.skipped.get("duplicate", 0) + counts.skipped.get("out_of_sample", 0)
    return f"{counts.lines} lines, {usable} usable, {counts.kept} kept, {written / 1e6:.1f} MB written"


def run_shards(folder: str, number: int) -> str:
    """Read the logs as so many mapped tasks do, one after the other, and merge what they kept."""
    store, task = LocalStore(), ShardTask(selection_of(None), "bench", 15_000, redact=Redaction())
    objects = iter_log_objects(store, folder, task.selection.window)
    uris = []
    with tempfile.TemporaryDirectory() as target:
        for shard in cut_shards(objects, number):
            part = task.run(store, shard, surplus=Surplus(store, f"{target}/bounds", shard.name))
            uris.append(f"{target}/{shard.name}.jsonl.gz")
            part.save(store, uris[-1])
            part.sample.close()
        merged = read_harvest(store, uris)
        merged.save(store, f"{target}/harvest.jsonl.gz")
    return f"{merged.counts.kept} kept by {len(uris)} shards"


TASKS: dict[str, Callable[[str], str]] = {
    "decompress": run_decompress,
    "decompress-2": run_decompress_by_two,
    "stdlib": run_stdlib,
    "gzip+json": run_plain,
    "filter": lambda folder: run_harvest(folder, wanted=WANTED),
    "filter-2": lambda folder: run_harvest(folder, wanted=WANTED, workers=2),
    "all-1000": lambda folder: run_harvest(folder, wanted=None, limit=1000),
    "all": lambda folder: run_harvest(folder, wanted=None),
    "all-as-logged": lambda folder: run_harvest(folder, wanted=None, redact=False),
    "all-2": lambda folder: run_harvest(folder, wanted=None, workers=2),
    "all-16-shards": lambda folder: run_shards(folder, 16),
}


@dataclass
class Measured:
    """The best wall and processor time of a task's runs and the largest peak memory of one of its processes."""

    wall: float = float("inf")
    cpu: float = float("inf")
    megabytes: float = 0.0
    said: str = ""
    script: str = __file__

    def add(self, task: str, folder: Path) -> None:
        """Run the task once more in a fresh process."""
        command = [sys.executable, self.script, "--task", task, str(folder)]
        run = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        self.wall, self.cpu = min(self.wall, run["wall"]), min(self.cpu, run["cpu"])
        self.megabytes, self.said = max(self.megabytes, run["megabytes"]), run["said"]


def measure(tasks: Sequence[str], folder: Path, repeats: int, script: str = __file__) -> dict[str, Measured]:
    """Run tasks in turn, so that a busy moment of the machine falls on all of them alike."""
    found = {task: Measured(script=script) for task in tasks}
    for _ in range(repeats):
        for task in tasks:
            found[task].add(task, folder)
    return found


def perform(task: str, folder: str) -> None:
    """Run one task here and print what it took; imports are part of the process, not of the time."""
    began, used = time.perf_counter(), time.process_time()
    said = TASKS[task](folder)
    wall, cpu = time.perf_counter() - began, time.process_time() - used
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        json.dumps(
            {
                "wall": wall,
                "cpu": cpu + children.ru_utime + children.ru_stime,
                "megabytes": max(own_peak(), children.ru_maxrss / 1024),
                "said": said,
            }
        )
    )


def own_peak() -> float:
    """Return this process's peak memory in MB; the counter of `getrusage` would include its parent's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


GOALS = {
    "decompress": "",
    "stdlib": "",
    "filter": "<= 2.0, <= 150 MB, memory flat",
    "filter-2": ">= 1.8 x one worker",
    "decompress-2": "",
    "all-1000": "<= 4.0",
    "all": "<= 4.0",
    "all-as-logged": "<= 4.0",
    "all-2": ">= 1.7 x one worker",
    "all-16-shards": "<= 1.6 x one in processor time",
    "gzip+json": "",
}
NAMES = {
    "decompress": "decompress only, isal",
    "stdlib": "decompress only, stdlib",
    "filter": "harvest, selective filter",
    "filter-2": "the same, two workers",
    "decompress-2": "the same, two processes",
    "all-1000": "no filter, 1,000 kept",
    "all": "no filter, 15,000 kept",
    "all-as-logged": "the same, not redacted",
    "all-2": "15,000 kept, two workers",
    "all-16-shards": "15,000 kept, 16 shards",
    "gzip+json": "gzip + json, line by line",
}


def table(single: Path, fourfold: Path, repeats: int) -> None:
    print(
        f"{'work':26} {'wall':>5} {'cpu':>5} {'std':>5} {'wall s':>7} {'cpu s':>6} {'MB':>5}  goal | what was done"
    )
    for name, folder, tasks in (
        (
            "one times the data",
            single,
            ("decompress", "stdlib", "filter", "all-1000", "all", "all-as-logged", "gzip+json"),
        ),
        (
            "four times the data",
            fourfold,
            (
                "decompress",
                "decompress-2",
                "stdlib",
                "filter",
                "filter-2",
                "all-1000",
                "all",
                "all-2",
                "all-16-shards",
                "all-as-logged",
            ),
        ),
    ):
        found = measure(tasks, folder, repeats)
        floor, stdlib = found["decompress"], found["stdlib"]
        print(f"-- {name}: {sum(path.stat().st_size for path in folder.rglob('*.gz')) / 1e6:.0f} MB of gzip")
        for task, run in found.items():
            print(
                f"{NAMES[task]:26} {run.wall / floor.wall:5.2f} {run.cpu / floor.cpu:5.2f} {run.cpu / stdlib.cpu:5.2f} "
                f"{run.wall:7.2f} {run.cpu:6.2f} {run.megabytes:5.0f}  {GOALS[task]:30} | {run.said}"
            )
    one, two = found["filter"], found["filter-2"]
    print(
        f"two workers: {one.wall / two.wall:.2f} x one worker, with {two.cpu / one.cpu:.2f} x its processor time; "
        f"decompress only gains {floor.wall / found['decompress-2'].wall:.2f} x; starting a worker takes "
        f"{start_of_a_worker():.2f} s"
    )


def start_of_a_worker() -> float:
    """Return the processor time in which a process starts and imports what reads a shard."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", "import airflow_distill.stages.logs.processes"]
    subprocess.run(command, check=True, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=120, help="compressed size of the data")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--keep", type=Path, help="make the data here and keep it; used again when it is there"
    )
    parser.add_argument("--task", nargs=2, metavar=("TASK", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        perform(*options.task)
        return
    base = options.keep or Path(tempfile.mkdtemp(prefix="harvest-bench-"))
    try:
        single, fourfold = base / "single", base / "fourfold"
        if not single.exists():
            make_logs(single, options.megabytes)
        if not fourfold.exists():
            multiply(single, fourfold)
        table(single, fourfold, options.repeats)
    finally:
        if options.keep is None:
            shutil.rmtree(base, ignore_errors=True)


def multiply(single: Path, fourfold: Path) -> None:
    """Make four times the data: each copy's prompts begin with another word, so that they are new prompts."""
    for path in sorted(single.rglob("*.json.gz")):
        lines = gzip.decompress(path.read_bytes())
        for copy in range(4):
            target = fourfold / path.relative_to(single).with_name(f"{copy}{path.name[1:]}")
            target.parent.mkdir(parents=True, exist_ok=True)
            header = b"user<|end_header_id|>"
            changed = lines.replace(b'"text":"', b'"text":"copy %d ' % copy)
            changed = changed.replace(header, header + b"copy %d " % copy)
            target.write_bytes(gzip.compress(changed, 6, mtime=0))


if __name__ == "__main__":
    main()

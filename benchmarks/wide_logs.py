"""The harvest on logs of other shapes than those of `harvest.py`, as ratios to decompressing the same objects, in one run.

Makes its own logs in four shapes, each a Region-day of gzip objects: small records of many teams of which a tenth
is asked for; one team's own prefix, of which nearly all is; texts of 50 bytes to 100 kB; and streams, tools, cache
fields and the metadata at the end of the record. The teacher goes by several ids, prompts repeat, the window cuts
records off at both ends. For each it measures, in fresh processes: decompressing alone (1.0), the harvest with the
shape's filter, the same by two processes, and without a filter, redacted. It also checks that one process, two and
64 shards write the same bytes.

Run it alone: `python benchmarks/wide_logs.py [--megabytes 200] [--repeats 3] [--shape NAME] [--keep FOLDER]`; the
size is that of each shape's lines, unpacked. The first columns are ratios to decompressing, of wall and processor
time. The last lines are the worst ratios of all shapes beside the goals; exit status 1 when one is missed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from airflow_distill.stages.dataset.redact import Redaction  # noqa: E402
from airflow_distill.stages.logs.harvest import ShardTask, harvest_logs, read_harvest  # noqa: E402
from airflow_distill.stages.logs.metadata import MetadataFilter  # noqa: E402
from airflow_distill.stages.logs.selection import Selection, Window  # noqa: E402
from airflow_distill.stages.logs.source import cut_shards, iter_log_objects  # noqa: E402
from airflow_distill.stages.logs.surplus import Surplus  # noqa: E402
from airflow_distill.stages.storage import LocalStore  # noqa: E402
from benchmarks import harvest as bench  # noqa: E402

DAY = "2026-10-14"
TEACHER = "amazon.nova-premier-v1:0"
MODELS = (
    TEACHER,
    f"us.{TEACHER}",
    f"arn:aws:bedrock:us-east-1:210987654321:inference-profile/us.{TEACHER}",
    "anthropic.claude-3-7-sonnet-20250219-v1:0",
    "meta.llama3-3-70b-instruct-v1:0",
)
"""Five ids, of which three mean the teacher."""
PROJECTS = ("support-bot", "search", "billing-help", "sales-mail", "code-review", "docs", "triage", "ops")
STAGES = ("prod", "staging", "dev")
LIMIT = 1_000
"""Prompts kept of a few hundred megabytes: as many as 15,000 of two gigabytes and more."""


@dataclass(frozen=True)
class Shape:
    """The proportions of one kind of logs.

    :param text: makes the sizes of prompt and answer, in characters.
    :param projects: the share of the first project; the others have equal ones.
    :param object_bytes: how large an object is, packed; one of several sizes in turn.
    """

    name: str
    text: Callable[[random.Random], tuple[int, int]]
    project: float
    teacher: float
    converse: float = 0.6
    repeats: float = 0.3
    streams: float = 0.0
    tools: float = 0.0
    late_metadata: bool = False
    object_bytes: tuple[int, ...] = (5_000_000,)


def _small(rng: random.Random) -> tuple[int, int]:
    return int(rng.lognormvariate(6.0, 0.7)), int(rng.lognormvariate(5.7, 0.7))


def _wide(rng: random.Random) -> tuple[int, int]:
    return int(50 * 2000 ** rng.random()), int(rng.lognormvariate(6.2, 1.0))


SHAPES = (
    Shape("teams", _small, project=0.25, teacher=0.72),
    Shape("own-prefix", _small, project=1.0, teacher=1.0, repeats=0.05),
    Shape("long", _wide, project=0.4, teacher=0.8, object_bytes=(1_000_000, 2_000_000, 9_000_000)),
    Shape("streams", _small, 0.5, 0.7, 0.4, 0.2, streams=0.4, tools=0.15, late_metadata=True),
)

SYLLABLES = "ba ce di fi gu la me ni po ru sa te vi xo zu ham ber lin ton der ick ing est ary ous".split()  # noqa: SIM905


class Writer:
    """Writes texts as people and programs do: words, numbers, quotes, lists, some JSON, some other scripts."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        rng = self.rng
        self.words = ["".join(rng.choices(SYLLABLES, k=rng.randint(1, 4))) for _ in range(8000)]
        self.sentences = [self._sentence() for _ in range(6000)]

    def _sentence(self) -> str:
        rng = self.rng
        words = [self.words[min(7999, int(rng.expovariate(1 / 600)))] for _ in range(rng.randint(5, 18))]
        kind = rng.random()
        if kind < 0.12:
            words.insert(rng.randint(0, len(words)), str(rng.randint(1, 99_999)))
        elif kind < 0.17:
            words.append(f'"{rng.choice(self.words)}"')
        elif kind < 0.19:
            return json.dumps({rng.choice(self.words): rng.randint(0, 999), "ok": True})
        elif kind < 0.21:
            return "これは注文の確認です。返品の方法を教えてください。"
        elif kind < 0.24:
            words.append(rng.choice(("café", "naïve", "Zürich", "señor", "—")))
        return " ".join(words).capitalize() + rng.choice((". ", ". ", "? ", ".\n", ":\n- "))

    def text(self, size: int) -> str:
        """Return a text of about so many characters that no other is equal to."""
        pieces = [f"{self.rng.getrandbits(40):x} "]
        left = size
        while left > 0:
            pieces.append(self.rng.choice(self.sentences))
            left -= len(pieces[-1])
        return "".join(pieces)


def lines(shape: Shape, seed: int) -> Iterator[bytes]:
    """Yield log lines for ever."""
    writer = Writer(seed)
    rng = writer.rng
    systems = [writer.text(rng.choice((0, 200, 900))) for _ in PROJECTS]
    asked: list[str] = []
    number = 0
    while True:
        number += 1
        size, answer_size = shape.text(rng)
        prompt = (
            rng.choice(asked) if asked and rng.random() < shape.repeats else writer.text(min(size, 100_000))
        )
        asked.append(prompt)
        del asked[:-2000]
        project = 0 if rng.random() < shape.project else rng.randrange(1, len(PROJECTS))
        model = rng.choice(MODELS[:3]) if rng.random() < shape.teacher else rng.choice(MODELS[3:])
        second = rng.randrange(86_400)
        record: dict[str, Any] = {
            "timestamp": f"{DAY}T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}Z",
            "accountId": "210987654321",
            "identity": {
                "arn": f"arn:aws:sts::210987654321:assumed-role/{PROJECTS[project]}/task-{rng.randrange(50)}"
            },
            "region": "us-east-1",
            "requestId": f"{rng.getrandbits(64):016x}-{number:06d}",
        }
        operation, body, answer = _bodies(
            shape, model, systems[project], prompt, writer.text(answer_size), rng
        )
        metadata = {
            "project": PROJECTS[project],
            "env": rng.choices(STAGES, (6, 2, 2))[0],
            "team": f"t{project % 3}",
        }
        record["operation"], record["modelId"] = operation, model
        if not shape.late_metadata:
            record["requestMetadata"] = metadata
        record["input"] = {
            "inputContentType": "application/json",
            "inputBodyJson": body,
            "inputTokenCount": len(prompt) // 4,
            **(
                {"cacheReadInputTokenCount": 128, "cacheWriteInputTokenCount": 0}
                if rng.random() < 0.2
                else {}
            ),
        }
        record["output"] = {
            "outputContentType": "application/json",
            "outputBodyJson": answer,
            "outputTokenCount": answer_size // 4,
        }
        if shape.late_metadata:
            record["requestMetadata"] = metadata
        record |= {"schemaType": "ModelInvocationLog", "schemaVersion": "1.0"}
        yield json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()


def _bodies(
    shape: Shape, model: str, system: str, prompt: str, answer: str, rng: random.Random
) -> tuple[str, dict[str, Any], Any]:
    if rng.random() < shape.streams:
        return "ConverseStream", _converse(system, prompt), _events(answer)
    if rng.random() < shape.tools:
        body = _converse(system, prompt)
        body["toolConfig"] = {
            "tools": [{"toolSpec": {"name": "find", "inputSchema": {"json": {"type": "object"}}}}]
        }
        call = {"toolUse": {"toolUseId": "t1", "name": "find", "input": {"q": answer[:40]}}}
        content = [call] if rng.random() < 0.5 else [{"text": answer}]
        return "Converse", body, _answered(content, "tool_use")
    if rng.random() < shape.converse:
        return "Converse", _converse(system, prompt), _answered([{"text": answer}], "end_turn")
    if "anthropic" in model:
        messages = [{"role": "user", "content": prompt}]
        body = {
            "anthropic_version": "bedrock-2023-05-31",
            "max_tokens": 800,
            "system": system,
            "messages": messages,
        }
        said = {"role": "assistant", "content": [{"type": "text", "text": answer}], "stop_reason": "end_turn"}
        return (
            "InvokeModel",
            body,
            {"type": "message", **said, "usage": {"input_tokens": 9, "output_tokens": 9}},
        )
    if "llama" in model:
        text = f"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{prompt}<|eot_id|>"
        body = {"prompt": text + "<|start_header_id|>assistant<|end_header_id|>\n\n", "max_gen_len": 400}
        return "InvokeModel", body, {"generation": answer, "generation_token_count": 9, "stop_reason": "stop"}
    body = {"schemaVersion": "messages-v1", **_converse(system, prompt)}
    return "InvokeModel", body, _answered([{"text": answer}], "end_turn")


def _converse(system: str, prompt: str) -> dict[str, Any]:
    return {
        "messages": [{"role": "user", "content": [{"text": prompt}]}],
        **({"system": [{"text": system}]} if system else {}),
        "inferenceConfig": {"maxTokens": 600},
    }


def _answered(content: list[Any], stop: str) -> dict[str, Any]:
    return {
        "output": {"message": {"content": content, "role": "assistant"}},
        "stopReason": stop,
        "usage": {"inputTokens": 90, "outputTokens": 40, "totalTokens": 130},
        "metrics": {"latencyMs": 812},
    }


def _events(answer: str) -> list[dict[str, Any]]:
    pieces = [answer[at : at + 60] for at in range(0, len(answer), 60)]
    return [
        {"messageStart": {"role": "assistant"}},
        *({"contentBlockDelta": {"delta": {"text": piece}, "contentBlockIndex": 0}} for piece in pieces),
        {"contentBlockStop": {"contentBlockIndex": 0}},
        {"messageStop": {"stopReason": "end_turn"}},
        {"metadata": {"usage": {"inputTokens": 90, "outputTokens": 40}, "metrics": {"latencyMs": 900}}},
    ]


def make_logs(shape: Shape, folder: Path, size: int) -> None:
    """Write objects in Bedrock's layout that unpack to about `size` bytes."""
    base = folder / f"AWSLogs/210987654321/BedrockModelInvocationLogs/us-east-1/{DAY.replace('-', '/')}"
    source = lines(shape, len(shape.name))
    done = number = 0
    while done < size:
        path = (
            base
            / f"{number % 24:02d}"
            / f"{DAY.replace('-', '')}T{number % 24:02d}000{number:04d}Z_x.json.gz"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        most = shape.object_bytes[number % len(shape.object_bytes)]
        with path.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, 0) as out:
            while raw.tell() < most and done < size:
                line = next(source) + b"\n"
                out.write(line)
                done += len(line)
        number += 1


def selection(filtered: bool) -> Selection:
    if not filtered:
        return Selection(window=Window.parse(f"{DAY}T00:00:00Z", f"{DAY}T23:59:59Z"))
    wanted = MetadataFilter.all_of(
        MetadataFilter.equals("project", PROJECTS[0]), MetadataFilter.not_equals("env", "dev")
    )
    return Selection(TEACHER, Window.parse(f"{DAY}T00:30:00Z", f"{DAY}T23:30:00Z"), wanted)


def run_harvest(folder: str, *, filtered: bool, workers: int = 1, redacted: bool = True) -> str:
    harvest = harvest_logs(
        LocalStore(), folder, selection(filtered), salt="bench", limit=LIMIT,
        redact=Redaction() if redacted else None, workers=workers,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as target:
        harvest.save(LocalStore(), f"{target}/harvest.jsonl.gz")
    counts = harvest.counts
    assert counts.lines == counts.kept + sum(counts.skipped.values())
    usable = counts.kept + counts.skipped.get("duplicate", 0) + counts.skipped.get("out_of_sample", 0)
    return f"{counts.lines} lines, {usable} usable, {counts.kept} kept"


def run_shards(folder: str, filtered: bool, number: int) -> bytes:
    """Read the logs as so many mapped tasks do, merge what they kept, and return the bytes of the whole."""
    store, task = LocalStore(), ShardTask(selection(filtered), "bench", LIMIT, redact=Redaction())
    objects = iter_log_objects(store, folder, task.selection.window)
    with tempfile.TemporaryDirectory() as target:
        uris = [f"{target}/{n}.jsonl.gz" for n in range(number)]
        for uri, shard in zip(uris, cut_shards(objects, number), strict=False):
            harvest = task.run(store, shard, surplus=Surplus(store, f"{target}/bounds", shard.name))
            harvest.save(store, uri)
        return read_harvest(store, [uri for uri in uris if Path(uri).exists()]).to_bytes()


def run_agreement(folder: str) -> str:
    """Say that one process, two and 64 shards give the same bytes."""
    said = []
    for filtered in (True, False):
        one, two = (
            harvest_logs(
                LocalStore(), folder, selection(filtered), salt="bench", limit=LIMIT, redact=Redaction(), workers=n
            ).to_bytes()
            for n in (1, 2)
        )  # fmt: skip
        assert one == two == run_shards(folder, filtered, 64), "the parts do not agree"
        said.append(f"{len(one):,} bytes")
    return f"one process, two and 64 shards wrote the same {' and '.join(said)}"


bench.TASKS |= {
    "wide-filter": partial(run_harvest, filtered=True),
    "wide-filter-2": partial(run_harvest, filtered=True, workers=2),
    "wide-all": partial(run_harvest, filtered=False),
    "wide-all-2": partial(run_harvest, filtered=False, workers=2),
    "wide-all-as-logged": partial(run_harvest, filtered=False, redacted=False),
    "agreement": run_agreement,
}
TASKS = (
    "decompress", "decompress-2", "wide-filter", "wide-filter-2", "wide-all", "wide-all-2", "wide-all-as-logged",
)  # fmt: skip
MOST = {"wide-filter": 2.0, "wide-all": 3.2}
MOST_MEGABYTES = 150


def show(shape: Shape, folder: Path, repeats: int) -> dict[str, float]:
    """Measure one shape, print its rows, and return the ratios of processor time to decompressing."""
    found = bench.measure(TASKS, folder, repeats, __file__)
    floor = found["decompress"]
    print(
        f"-- {shape.name}: {floor.said}, {sum(p.stat().st_size for p in folder.rglob('*.gz')) / 1e6:.0f} MB of gzip"
    )
    for task, run in found.items():
        print(
            f"{task:20} {run.wall / floor.wall:5.2f} {run.cpu / floor.cpu:5.2f} {run.wall:7.2f} {run.cpu:6.2f} "
            f"{run.megabytes:5.0f}  | {run.said}"
        )
    for task in ("wide-filter", "wide-all"):
        one, two = found[task], found[f"{task}-2"]
        print(
            f"{task}: two processes {one.wall / two.wall:.2f} x one, {two.cpu / one.cpu:.2f} x its processor time"
        )
    agreement = bench.Measured(script=__file__)
    agreement.add("agreement", folder)
    print(agreement.said, flush=True)
    ratios = {task: found[task].cpu / floor.cpu for task in MOST}
    return {**ratios, "megabytes": max(found[task].megabytes for task in MOST)}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=200, help="size of the lines of each shape")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--shape", choices=[shape.name for shape in SHAPES])
    parser.add_argument(
        "--keep", type=Path, help="make the data here and keep it; used again when it is there"
    )
    parser.add_argument("--task", nargs=2, metavar=("TASK", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        bench.perform(*options.task)
        return 0
    base = options.keep or Path(tempfile.mkdtemp(prefix="wide-logs-"))
    worst: dict[str, float] = {}
    try:
        print(f"{'work':20} {'wall':>5} {'cpu':>5} {'wall s':>7} {'cpu s':>6} {'MB':>5}  | what was done")
        for shape in SHAPES:
            if options.shape not in (None, shape.name):
                continue
            folder = base / shape.name
            if not folder.exists():
                make_logs(shape, folder, options.megabytes * 1_000_000)
            for task, ratio in show(shape, folder, options.repeats).items():
                worst[task] = max(worst.get(task, 0.0), ratio)
    finally:
        if options.keep is None:
            shutil.rmtree(base, ignore_errors=True)
    missed = worst["megabytes"] > MOST_MEGABYTES
    for task, most in MOST.items():
        print(f"worst {task}: {worst[task]:.2f} x decompress only (goal {most})")
        missed = missed or worst[task] > most
    print(f"largest process: {worst['megabytes']:.0f} MB (goal {MOST_MEGABYTES})")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())

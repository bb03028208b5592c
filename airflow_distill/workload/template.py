"""The file that `airflow-distill workload init` writes: what must be said, and the few settings people change first."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import yaml

from airflow_distill.stages.jobs.models import job_region

TEMPLATE = """\
owner: {owner}
teacher: {teacher}
student: {student}
root: {root}                    # datasets, answers and releases are kept here
role_arn: {role_arn}
region_name: {region}

logs:
  location: {logs}              # where Bedrock delivers invocation logs
  metadata:
    equals: {{app: {name}}}     # the records that belong to this workload
  window: 7d                    # how far back one run reads

evaluation:
  scorers: [exact]        # the first one decides
policy:
  margin: 0.05                  # how far below the teacher the student may be

schedule:
  fresh_prompts: 2000           # or cron: "0 3 * * 1"
budget:
  usd_per_run: 50
  usd_per_month: 200
  student_prices: {{deployment-input: 0.000035, deployment-output: 0.00014}}  # look them up: USD per 1,000 tokens
"""


def workload_text(
    name: str,
    *,
    owner: str = "my-team",
    teacher: str = "amazon.nova-pro-v1:0",
    student: str = "amazon.nova-micro-v1:0:128k",
    root: str = "s3://my-bucket/distill",
    logs: str = "s3://my-logs/AWSLogs",
    role_arn: str = "arn:aws:iam::111122223333:role/distill-customization",
) -> str:
    """Return the text of a new workload file, comments aligned."""
    region = job_region(teacher, student) or "us-east-1"
    values = {
        "name": name,
        "owner": owner,
        "teacher": teacher,
        "student": student,
        "root": root,
        "logs": logs,
        "role_arn": role_arn,
        "region": region,
    }
    given = {each: scalar(value) for each, value in values.items()}
    return "".join(_filled(line, given) + "\n" for line in TEMPLATE.splitlines())


def scalar(value: str) -> str:
    """Return a text as a YAML scalar that reads as this text: plain where that is safe, else in double quotes.

    >>> scalar("amazon.nova-pro-v1:0"), scalar("me: you # they"), scalar("yes")
    ('amazon.nova-pro-v1:0', '"me: you # they"', '"yes"')
    """
    plain = re.fullmatch(r"[A-Za-z0-9](?:[\w./@+=-]|:(?=\S)){0,500}", value, re.ASCII)
    if plain and yaml.safe_load(value) == value:
        return value
    quoted: str = yaml.safe_dump(value, default_style='"', width=math.inf)
    return quoted.rstrip("\n")


def _filled(line: str, given: Mapping[str, str]) -> str:
    """Fill in a line of the template; its comment stands at one column, or two spaces after a long value."""
    value, mark, comment = line.partition("  #")
    value = value.rstrip().format(**given)
    return f"{value:<38}  # {comment.strip()}" if mark else value

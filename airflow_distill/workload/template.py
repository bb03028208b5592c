"""The file that `airflow-distill workload init` writes: what must be said, and the few settings people change first."""

from __future__ import annotations

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
    region = "us-west-2" if "meta." in teacher else "us-east-1"
    text = TEMPLATE.format(
        name=name,
        owner=owner,
        teacher=teacher,
        student=student,
        root=root,
        logs=logs,
        role_arn=role_arn,
        region=region,
    )
    return "".join(_align(line) + "\n" for line in text.splitlines())


def _align(line: str) -> str:
    """Put the comment of a line at one column, or two spaces after a long value."""
    value, mark, comment = line.partition("  #")
    if not mark:
        return line
    return f"{value.rstrip():<38}  # {comment.strip()}"

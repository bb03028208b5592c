"""Workload files that several tests begin with."""

SHORTEST = """\
owner: support-platform
teacher: amazon.nova-pro-v1:0
student: amazon.nova-micro-v1:0:128k
root: s3://acme-distill/loop
role_arn: arn:aws:iam::111122223333:role/distill
logs:
  location: s3://acme-logs/bedrock
budget:
  usd_per_run: 50
"""

ON_SANDBOX = """\
owner: support
teacher: amazon.nova-pro-v1:0
student: amazon.nova-micro-v1:0:128k
root: s3://distill-sandbox/loop
role_arn: arn:aws:iam::123456789012:role/distill
logs: {location: s3://distill-sandbox/logs}
budget: {usd_per_run: 50}
"""

"""The pure stages of the loop: logs, dataset, jobs, evaluation, decision, deployment.

No Airflow, no AWS SDK, no clock, no network: what a stage needs from the outside is passed in.
"""

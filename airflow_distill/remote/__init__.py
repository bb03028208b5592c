"""Work that runs elsewhere and costs money: its names, its states, how it is submitted once and waited for.

Pure: standard library only; no Airflow, no AWS SDK, no clock, no network. What a rule needs from outside (a call, the
time, a pause) is passed in, so the same rule serves triggers, blocking operators and the command line.
"""

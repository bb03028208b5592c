"""Sensors: wait for logs, jobs and hosts."""

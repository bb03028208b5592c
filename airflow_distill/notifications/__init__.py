"""Tells people about verdicts, failures, spend and expiry, through whichever Airflow notifiers they use."""

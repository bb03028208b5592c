"""Asking for the student: a dataset and a specification become a request as plain data."""

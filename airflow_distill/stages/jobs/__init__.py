"""Asking for the student: what is wanted, which models pair, and the request as plain data. Pure."""

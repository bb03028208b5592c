"""Triggers that wait for remote work without holding a worker slot."""

"""Deferred waits. Triggers poll and stop; they decide nothing and download nothing."""

"""Workload files, TaskGroups and the Dag factory; each only arranges the operators."""

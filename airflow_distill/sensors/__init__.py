"""Waits for what somebody else started. A sensor succeeds only when the service says that the work has succeeded."""

"""Is it good enough: a scorecard and a policy become a verdict."""

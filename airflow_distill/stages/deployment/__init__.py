"""Making it answer: a verdict and the present state become an ordered plan, and releases a ledger."""

"""How many prompts a harvest keeps; apart from the code that reads, so that operators can name it without loading that."""

DEFAULT_LIMIT = 20_000
"""A third more than Bedrock takes, so that curation has something to drop."""

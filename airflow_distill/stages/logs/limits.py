"""How many prompts a harvest keeps; apart from the code that reads, so that operators can name it without loading that."""

DEFAULT_LIMIT = 20_000
"""A third more than Bedrock takes, so that curation has something to drop."""
DEFAULT_SHARDS = 16
LEAST_SHARD_BYTES = 512_000_000
"""Stored bytes that are worth a task of their own: about ten seconds of reading, where a task costs two or three."""

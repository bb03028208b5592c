"""How the student compares: answers to held-out prompts become scores and a scorecard."""

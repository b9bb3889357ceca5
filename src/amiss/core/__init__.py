"""The contract: what an image, a score, a rule, a decision and an error are. Everything else builds on it."""

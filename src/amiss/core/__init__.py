"""The contract: what a picture, a score, a rule, a decision and an error are. Everything else builds on it."""

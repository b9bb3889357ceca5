"""Open set: known classes are told apart, and what is none of them is unknown."""

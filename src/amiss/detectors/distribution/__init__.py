"""Distribution maps: a probability density of normal features."""

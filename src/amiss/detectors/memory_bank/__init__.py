"""Memory banks: distance to remembered normal features."""

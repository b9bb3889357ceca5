"""Methods that need no good images to learn from."""

"""Self-supervised: what a network learns from tasks that normal images themselves set."""

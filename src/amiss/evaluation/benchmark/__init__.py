"""Methods x data sets x seeds: runs in processes of their own, kept as JSON lines, read as tables."""

"""Between a station and the world around it: where parts come from, and who is told what was found."""

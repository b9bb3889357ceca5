"""Student and teacher: a network that predicts a frozen one on normal images, and fails on others."""

"""HTTP for machines and a page for people, on top of `amiss.station`. It computes nothing."""

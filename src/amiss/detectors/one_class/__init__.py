"""One class: a boundary around normal features."""

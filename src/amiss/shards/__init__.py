"""Many machines: what there is to do is cut into blocks of fixed size, and merged by their numbers.

What becomes of a block depends on its images and the model alone, never on who did it or when. So one worker and many
give the same bytes.
"""

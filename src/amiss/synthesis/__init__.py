"""Images that Amiss draws itself: noise, textures, dead leaves, and whole images that need no licence."""

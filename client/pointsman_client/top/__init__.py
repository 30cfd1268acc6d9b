"""``pointsman top``: what is wrong now, in a terminal."""

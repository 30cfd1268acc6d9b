"""A task from its birth to its end, and as readers see it."""

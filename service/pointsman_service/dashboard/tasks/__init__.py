"""The pages Tasks and Task: which ones there are, what becomes of one, and what is done to many at once."""

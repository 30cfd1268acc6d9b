"""One task as whoever looks at it wants to know it, its attempts, and what has failed for good."""

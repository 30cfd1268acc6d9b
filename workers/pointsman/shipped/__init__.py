"""The task types that come along, and what only they need. Nothing else may import them."""

"""The database itself: its schema, its partitions, and what leaves it by age."""

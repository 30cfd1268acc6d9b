"""What answers have in common: JSON, and what any path answers to any method."""

"""What a call is before anything carries it, and what its answer means: no input or output."""

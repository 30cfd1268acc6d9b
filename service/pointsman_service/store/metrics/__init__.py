"""What is counted of tasks, and the sums of it."""

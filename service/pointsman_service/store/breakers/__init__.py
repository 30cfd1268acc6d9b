"""Circuit breakers, the workers that one keeps off its queues, and what attempts came to by worker."""

"""The pages of queues: whether each is within its target and will be; pause, resume, purge, what was set aside."""

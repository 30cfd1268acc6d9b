"""Workers over HTTP: look at them, take them off their queues and let them back."""

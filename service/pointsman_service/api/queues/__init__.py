"""Queues over HTTP: look at them, pause, resume and purge them, and what was set aside from them."""

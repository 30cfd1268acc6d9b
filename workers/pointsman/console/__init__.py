"""What ``python -m pointsman`` tells people of the nodes of this machine. Loads no Celery."""

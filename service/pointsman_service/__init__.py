"""The control plane: takes tasks over HTTP, sends them to Celery, records what became of them."""

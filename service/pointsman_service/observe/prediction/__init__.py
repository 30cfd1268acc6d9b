"""How long a task will wait: two estimators, the record of both, and the forecast that every process reads."""

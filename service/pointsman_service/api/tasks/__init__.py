"""Tasks over HTTP: submit them, look at them, cancel them, run them again. ``intake`` is the one hot route."""

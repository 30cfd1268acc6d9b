"""Dead letters over HTTP: look at them, run them again."""

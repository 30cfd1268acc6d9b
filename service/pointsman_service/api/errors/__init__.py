"""Error groups over HTTP: look at them, and say what becomes of them."""

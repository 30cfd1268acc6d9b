"""Circuit breakers over HTTP: look at them, set them, report calls to them, listen to them."""

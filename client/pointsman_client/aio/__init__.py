"""The client that waits without blocking."""

"""The shipped task types, a module per domain."""

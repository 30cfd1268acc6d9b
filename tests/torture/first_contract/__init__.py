"""What a worker of the first contract says and asks, as it was then. Nothing here follows a change of ``contract``."""

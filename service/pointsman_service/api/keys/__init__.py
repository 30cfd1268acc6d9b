"""Keys: look at them, make, rotate and revoke them."""

"""Keys of callers: what they look like, what they may, and who holds one."""

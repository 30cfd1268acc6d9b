"""Which failures have one cause. Pure."""

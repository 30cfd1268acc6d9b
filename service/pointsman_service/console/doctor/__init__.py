"""``python -m pointsman_service doctor``: every part looked at once, each in a line with what to do about it."""

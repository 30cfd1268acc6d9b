"""Alerts over HTTP: look at them, acknowledge and silence them, and what became of their messages."""

"""Alerts that reach a person: what is wrong, since when, and what to do next."""

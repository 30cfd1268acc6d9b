"""Pointsman from outside, over HTTP alone. Loads nothing until it is asked."""

RELEASE = "0.1.0"

"""Streams to listeners: what happens, as it happens."""

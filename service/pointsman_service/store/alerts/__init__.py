"""Alerts, the messages about them, and what their rules ask."""

"""Figures over HTTP: TaskMetrics as JSON, and everything for Prometheus."""

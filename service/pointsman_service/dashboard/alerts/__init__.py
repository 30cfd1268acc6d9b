"""The page Alerts: what is wrong, who was told of it, and who knows."""

"""From Postgres to the broker: the short window, topped up most urgent first."""

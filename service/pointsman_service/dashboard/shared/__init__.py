"""The page that a signed link opens."""

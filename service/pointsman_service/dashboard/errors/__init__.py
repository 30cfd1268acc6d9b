"""The page Errors: what fails, since when, whether that is news, and what was decided about it."""

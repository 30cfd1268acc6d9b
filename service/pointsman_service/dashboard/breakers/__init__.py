"""The page Breakers: what is held, since when, when it is tried again, and what is set by hand."""

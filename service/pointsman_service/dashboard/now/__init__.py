"""The page Now: what is wrong, what it does to whom, what is done about it, and what can be done."""

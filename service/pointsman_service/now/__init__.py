"""What is wrong now, what that does to whom, what is done about it and what a person can do: the first page."""

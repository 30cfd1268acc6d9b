"""What went wrong, for callers: its document, the errors of others in our words, and the answer to whatever failed."""

"""What operators and callers do to tasks, a file per action."""

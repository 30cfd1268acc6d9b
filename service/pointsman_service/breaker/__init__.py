"""When a dependency fails: hold its calls, probe it, let it recover."""

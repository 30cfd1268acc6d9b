"""Read-only views of what happened and of how things stand. Nothing here changes anything."""

"""What requests have in common besides their bodies: fields of actions, ids, names in paths, filters."""

"""What requests have in common besides their bodies: fields, ids, names, parameters, headers, filters."""

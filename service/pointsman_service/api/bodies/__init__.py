"""Request bodies: limits of size, number and time that hold before anything is parsed, then JSON."""

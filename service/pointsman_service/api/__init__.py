"""HTTP only: parse, call, answer. A file per resource; ``routes.register`` puts them together."""

"""HTTP only: parse, call, answer. A room per resource; ``routes.register`` puts them together."""

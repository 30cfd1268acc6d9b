"""Reports about tasks: figures from the API, drawn as a page that needs nothing else, and as CSV."""

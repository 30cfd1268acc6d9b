"""What the API says of itself: the OpenAPI document, its schemas, and the page that shows it."""

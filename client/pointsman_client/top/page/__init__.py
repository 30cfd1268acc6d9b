"""What stands where on the screen. Pure: answers of the API in, lines out."""

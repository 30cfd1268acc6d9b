"""What other people's programs make of the API's document, and what the tests give them."""

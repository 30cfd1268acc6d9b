"""What stands before the API: connections and what they may cost, and who may ask."""

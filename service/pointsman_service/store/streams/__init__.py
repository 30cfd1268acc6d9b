"""The event streams: their epochs, how far they were read, and what of them was left out."""

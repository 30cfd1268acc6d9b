"""Sweeps that find what fell out of the line by its row, and put it back. A file each."""

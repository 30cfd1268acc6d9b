"""Failures by their cause: what is written of them, summed, judged and read."""

"""Unfinished tasks as queues show them: waiting, sent, held back, kept out."""

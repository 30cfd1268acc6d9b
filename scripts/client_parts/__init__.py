"""The parts of ``scripts/client_code.py``."""

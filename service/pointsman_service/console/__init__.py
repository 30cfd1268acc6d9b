"""Commands of ``python -m service`` that look and answer, and run nothing."""

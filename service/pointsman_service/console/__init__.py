"""Commands of ``python -m pointsman_service`` that look and answer, and run nothing."""

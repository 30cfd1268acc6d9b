"""Many rows as one statement: a column is one array parameter."""

from collections.abc import Mapping


def array_columns(columns: Mapping[str, str], alias: str = "rows") -> str:
    """SQL for a table of arrays: ``unnest(CAST(:id AS uuid[]), …) AS rows (id, …)``.

    ``columns`` maps a name, which is also the parameter's, to its PostgreSQL type. Both come from our code, never
    from input.
    """
    arrays = ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in columns.items())
    return f"unnest({arrays}) AS {alias} ({', '.join(columns)})"

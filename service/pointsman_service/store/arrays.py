"""Many rows as one statement: a column is one array parameter."""

from collections.abc import Mapping, Sequence


def array_columns(columns: Mapping[str, str], alias: str = "rows") -> str:
    """SQL for a table of arrays: ``unnest(CAST(:id AS uuid[]), …) AS rows (id, …)``.

    ``columns`` maps a name, which is also the parameter's, to its PostgreSQL type. Both come from our code, never
    from input.
    """
    arrays = ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in columns.items())
    return f"unnest({arrays}) AS {alias} ({', '.join(columns)})"


def mostly_equal_columns(columns: Mapping[str, str], of: str, alias: str = "rows") -> str:
    """SQL for the same table, of columns that ``column_of`` made: one that has a single value has it in every row.

    ``of`` names the column that says how many rows there are: it is given whole.
    """
    shown = ", ".join(
        name if name == of else f"CASE WHEN cardinality({given}) = 1 THEN ({given})[1] ELSE given.{name} END AS {name}"
        for name, given in ((name, f"CAST(:{name} AS {kind}[])") for name, kind in columns.items())
    )
    return f"(SELECT {shown} FROM {array_columns(columns, 'given')}) AS {alias}"


def column_of(values: Sequence[object]) -> Sequence[object]:
    """The array of one of the ``mostly_equal_columns``: its values, or one for all, or none where all are None.

    The driver takes as long over each value as all else takes for it, and most columns of submissions that come
    together are equal throughout.
    """
    first = values[0]
    if values.count(first) < len(values):
        return values
    return () if first is None else (first,)

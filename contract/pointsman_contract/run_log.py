"""What managed runs write, on its way from a worker to the control plane: lines of ``logging``, and what is printed.

Each entry of the stream ``keys.LINES`` is some lines of one attempt that follow one another. Its fields: ``task``,
``attempt``, ``run`` (a word that tells apart what two processes wrote as the same attempt), ``first`` (the number of
its first line, from 1), ``count`` (how many lines), ``last`` (1 when the run has ended and wrote no others, else 0) and
``lines``: a JSON array of ``[at, level, logger, text]``.

Every line that a run writes has a number, also one that is let go because there is no room for it: so the numbers that
are missing say how many went. The same entry may come twice, when the answer to it was lost: it says so by its name,
``task``, ``attempt``, ``run`` and ``first``.
"""

ATTEMPT_BYTES = 64 * 1024
"""So much is kept of an attempt, as JSON: the newest lines."""
ENTRY_BYTES = 16 * 1024
"""An entry holds no more, but for one line that is longer."""
LINE_BYTES = 16 * 1024
"""A longer line is cut."""
MOST_ENTRIES = 2_000
"""So many wait in Redis; then workers keep what they have, and let the oldest lines go."""
MEMORY_PERCENT = 65
"""Nor does Redis take lines while it uses more of its maxmemory: they are the first that it does without."""
LINES_SECONDS = 86_400
"""How long after the last of them lines wait for a control plane that reads them."""
LONGEST_LEVEL = 20
LONGEST_LOGGER = 200
LONGEST_RUN = 32

"""The commands of ``pointsman``, but for ``top``: each asks the API, says what it answers, and ends."""

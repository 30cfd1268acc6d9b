"""Traffic to look at: ``python -m pointsman_service.embedded.demo URL``, what ``./scripts/up --demo`` runs.

A day of a shop in twelve minutes (``day``), submitted over HTTP as any caller would (``orders``, ``traffic``). It
plays the bank that the shop's tasks call, which fails for two minutes of each day (``bank``), and the person who
resolves an error when it is mended (``traffic``).
"""

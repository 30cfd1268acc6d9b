"""Everything on one machine with nothing installed: PostgreSQL and Valkey from wheels, the service and the workers.

``python -m pointsman_service.embedded`` (or ``./scripts/up``) runs them as children of one supervisor.
``postgres.PostgresServer`` and ``valkey.ValkeyServer`` also stand alone, for tests.
"""

"""Submissions within one's own transaction: a row in the caller's database that is committed with everything else or
not at all, and a relay that submits it, once, afterwards.

``pointsman_client.outbox.sqlalchemy`` and ``pointsman_client.outbox.django`` are for those who write rows; the relay is
the command ``pointsman relay``, Django's ``manage.py pointsman_relay``, or a ``Relay`` of one's own.
"""

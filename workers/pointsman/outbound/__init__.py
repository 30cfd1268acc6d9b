"""Calls from tasks to somebody else's HTTP service, whose address a caller may have chosen.

``client`` makes the guarded client, ``calls`` what a task does with it.
"""

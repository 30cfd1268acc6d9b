"""The parent of a node: where it is hooked into Celery's worker, what it does with messages, and its own thread that
beats, cancels, and reports the children that died. A process that only sends tasks loads none of it.
"""

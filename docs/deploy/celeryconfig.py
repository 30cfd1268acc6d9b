"""For tools that look at the broker by themselves, such as Flower: Celery's own priority steps are 0, 3, 6 and 9.

Without this they count four of the ten lists of a queue, and show 0 for one that holds messages.
"""

broker_transport_options = {"priority_steps": list(range(10))}

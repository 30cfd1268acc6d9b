"""What a task type is, before anything runs it: its parameters and their schema, its options, retry rules, dependencies
and route, and the form its body has. It reads tasks; it asks no Redis but for a circuit breaker.
"""

"""Why a task is where it is: from facts to one sentence, pure but for ``gathering`` and ``nodes``.

What is said here is said everywhere in the same words: by the API, the dashboard, the terminal and the alerts.
"""

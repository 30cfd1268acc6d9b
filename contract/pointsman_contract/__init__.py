"""What the control plane and the workers agree on.

Both sides import this package and neither imports the other, so that a worker can be installed without the service.
It depends on nothing but pydantic. A change here is a change of the wire format: see ``message.VERSION``.
"""

RELEASE = "0.1.0"
"""Of the whole project, as in pyproject.toml: an image holds these packages without their metadata."""

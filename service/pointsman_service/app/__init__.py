"""The one wiring place: which parts a process has, and how they are started and stopped."""

from pointsman_service.app.process import Process, Role

__all__ = ["Process", "Role"]

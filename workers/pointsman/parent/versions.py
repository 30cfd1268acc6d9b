"""A worker works with a control plane of its own contract version and of those beside it: workers and service are not
replaced in one moment. Further apart they would misread each other.
"""

import re

from pointsman.connection import RedisConnection
from pointsman_contract.keys import CONTROL
from pointsman_contract.message import VERSION

_NUMBER = re.compile(r"-?[0-9]{1,9}")


class OtherContract(SystemExit):
    """The control plane is too new for this worker, or too old."""


def understand(redis: RedisConnection) -> None:
    """Find that the control plane's version is this one's or beside it, or not known yet. Raises ``OtherContract``, or
    one of ``pointsman.connection.AWAY``.
    """
    stated = redis.command("HGET", CONTROL, "contract")
    # What is no number says nothing; the control plane writes it anew.
    if stated is not None and _NUMBER.fullmatch(stated) and abs(int(stated) - VERSION) > 1:
        older, newer = ("worker", "control plane") if int(stated) > VERSION else ("control plane", "worker")
        raise OtherContract(
            f"The control plane speaks contract version {stated}, this worker {VERSION}: they must not be more than one"
            f" apart. The {newer} is the newer one; bring the {older} up to date first."
        )

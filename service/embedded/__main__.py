"""``python -m service.embedded``: see ``--help``."""

import os
import sys

from service.embedded.errors import EmbeddedError
from service.embedded.logs import Console
from service.embedded.options import parse_options
from service.embedded.up import up


def main() -> int:
    """Run until stopped: 0 after an orderly stop, 1 with one line on stderr when it could not run."""
    try:
        up(parse_options(sys.argv[1:], os.environ), Console(sys.stdout))
    except (EmbeddedError, OSError) as error:
        sys.stderr.write(f"up: error: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

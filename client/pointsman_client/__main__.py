"""``python -m pointsman_client``."""

import sys

from pointsman_client.command import main

if __name__ == "__main__":
    sys.exit(main())

"""``python -m pointsman_service.embedded``: see ``--help``."""

import os
import sys
from dataclasses import replace

from pointsman_contract.configuration import BadConfiguration, read_file
from pointsman_contract.settings_view import read_settings
from pointsman_service.embedded.errors import EmbeddedError
from pointsman_service.embedded.logs import Console
from pointsman_service.embedded.options import parse_options, refuse_other_host, with_file, with_secrets
from pointsman_service.embedded.up import up
from pointsman_service.settings import Settings


def main() -> int:
    """Run until stopped: 0 after an orderly stop, 1 with one line on stderr when it could not run.

    2 when a setting is bad, with a line for each.
    """
    try:
        options = parse_options(sys.argv[1:], with_file(os.environ, read_file()))
        settings = read_settings(Settings)
        refuse_other_host(settings)
        options = replace(with_secrets(options, settings), asks_for_keys=settings.keys_required is True)
        up(options, Console(sys.stdout))
    except BadConfiguration as error:
        for line in error.lines:
            sys.stderr.write(f"up: error: {line}\n")
        return 2
    except (EmbeddedError, OSError) as error:
        sys.stderr.write(f"up: error: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m slapkit` is the `slapkit` command."""

import sys

from slapkit.cli import main

if __name__ == "__main__":
    sys.exit(main())

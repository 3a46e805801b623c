"""`python -m slapkit` is the `slapkit` command."""

from slapkit.cli import main

if __name__ == "__main__":
    raise SystemExit(main())

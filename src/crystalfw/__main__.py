"""`python -m crystalfw` is the command `crystalfw`."""

import sys

from crystalfw.core.commands.cli import main

if __name__ == "__main__":
    sys.exit(main())

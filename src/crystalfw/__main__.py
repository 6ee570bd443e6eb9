"""`python -m crystalfw` is `crystalfw`, for torchrun and machines where scripts are not on the path."""

import sys

from crystalfw.core.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""`python -m mockexport`: the command line."""

import sys

from mockexport.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""``python -m mfpde`` is the command ``mfpde``."""

import sys

from mfpde.cli import main

sys.exit(main())

"""Run README's Python with the package that is installed, which must not be the source's.

python tests/packaged.py README.md
"""

import re
import sys
from importlib.metadata import files
from pathlib import Path

import mfpde

readme = Path(sys.argv[1])
assert readme.parent not in Path(mfpde.__file__).parents[:-1][:2], mfpde.__file__
shipped = {Path(str(file)).parts[0] for file in files("mfpde") or ()}
assert shipped <= {"mfpde", f"mfpde-{mfpde.__version__}.dist-info", ".."}, shipped
for block in re.findall(r"```python\n(.*?)```", readme.read_text("utf-8"), re.DOTALL):
    exec(compile(block, str(readme), "exec"), {"__name__": "__main__"})

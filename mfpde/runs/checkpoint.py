"""When a run is written to its file, and what becomes of a write that fails."""

from __future__ import annotations

import time
from collections.abc import Callable

from mfpde import checks
from mfpde.runs.atomic import PathLike, check_writable
from mfpde.runs.run_file import Record, RunFile


class Checkpoint:
    """A run file that is brought up to date every ``every`` seconds; no path, no file.

    Raises OSError, before the first step, for a path at which no file can be written.
    """

    def __init__(self, path: PathLike | None, every: float) -> None:
        self._every = checks.positive("checkpoint_every", every, zero=True)
        self._file = None if path is None else RunFile(check_writable("checkpoint", path))
        self._written_at = time.monotonic()
        self.error: OSError | None = None

    @property
    def kept(self) -> bool:
        """Whether there is a file."""
        return self._file is not None

    @property
    def due(self) -> bool:
        """Whether it is time to write."""
        return self._file is not None and time.monotonic() - self._written_at >= self._every

    def write(self, record: Callable[[], Record], *, whole: bool = False) -> bool:
        """Write, ``whole`` when the run ends; False, and ``error``, where the system refuses."""
        if self._file is None or self.error is not None:
            return self.error is None
        try:
            self._file.write(record(), whole=whole)
        except OSError as error:
            self.error = error
        self._written_at = time.monotonic()
        return self.error is None

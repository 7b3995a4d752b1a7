"""Compiled kernels: plain arrays in and out, the papers' letters."""

# What may be reassociated without deleting NaN checks (``fastmath=True`` would).
FASTMATH = {"nsz", "arcp", "contract", "afn", "reassoc"}

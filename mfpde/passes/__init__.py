"""Passes through depth: what a measure does to data, and its derivatives."""

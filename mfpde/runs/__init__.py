"""A run: options, steps, clock, solution, run file; what every flow records and keeps."""

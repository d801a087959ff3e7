"""Problem catalogue, runner, scores and speed measurements: ``python -m rsrm.benchmarks``."""

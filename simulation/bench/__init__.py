"""The bench: what a request costs, as ratios to controls measured in the same run; see docs/performance.md."""

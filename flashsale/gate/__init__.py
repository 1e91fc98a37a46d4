"""The gate: what is true this second, in Redis. It decides who may take what; the books remember it."""

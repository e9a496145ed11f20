"""A local HTTP API with real figures that counts its calls and misbehaves on demand: for trials, tests, benchmarks."""

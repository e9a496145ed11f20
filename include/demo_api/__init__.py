"""A local HTTP API with real figures, which counts its calls and misbehaves on demand. For trying out, tests, benchmarks."""

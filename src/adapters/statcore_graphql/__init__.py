"""Statistics and utilization over GraphQL: schema, context and per-request loaders; no web framework."""

"""What of Envoy's schema is covered: the page docs/coverage.md, and Envoy's own example configurations."""

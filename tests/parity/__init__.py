"""The differential suite: the same policy, upstreams and calls through the real Envoy and through the library."""

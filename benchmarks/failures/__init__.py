"""What an application sees of failures: the library against Envoy on the same policy, and httpx without any."""

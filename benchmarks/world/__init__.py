"""What runs beside the client: upstream, Envoy and other sidecars, and what the system says of it."""

"""What runs beside the client: upstream, Envoy and other sidecars, each with an end, and what the system says of them."""

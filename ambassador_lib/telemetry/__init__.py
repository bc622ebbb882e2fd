"""What the outside may know of the calls: OpenTelemetry spans and request ids."""

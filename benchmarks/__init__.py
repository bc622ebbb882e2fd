"""What the library costs, measured in one process without a network."""

"""What the library itself costs, in one process and without a network: its layers, its peers, its import."""

"""Virtual time and the simulated network."""

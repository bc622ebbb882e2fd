"""One module an area; each holds a list `SCENARIOS`."""

"""What we want to be as quick, small and even as, and whether we are."""

"""What is made of what was measured: distributions, medians of rounds, ratios, and the shape they are kept in."""

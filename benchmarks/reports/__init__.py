"""What was measured, told: on the terminal, as JSON, as a page, as pictures."""

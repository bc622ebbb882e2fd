"""Putting load on a contestant: closed and open loops, rounds, and the process each contestant lives in."""

"""The HTTP filters before the router, one file each; `base.py` says how one is added."""

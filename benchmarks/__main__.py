"""Everything that is measured, one after the other: `python -m benchmarks`."""

from __future__ import annotations

from . import imports, layers

if __name__ == "__main__":
    layers.main()
    print()
    imports.main()

"""The comparison: in process against out of process, on the same upstream, with the same policy."""

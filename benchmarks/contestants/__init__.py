"""Who is measured against a real upstream: one file a family, registered in `registry`."""

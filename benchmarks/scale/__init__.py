"""What it costs against how much there is of it: endpoints, routes, clusters, callers, bytes, threads."""

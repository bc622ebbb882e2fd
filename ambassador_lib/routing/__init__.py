"""Routing: which virtual host and route a call belongs to, and what they do to its request and its response.

A `RouteTable` is compiled once from a `RouteConfiguration`; per call it only compares. Nothing in here waits.
"""

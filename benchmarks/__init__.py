"""Micro-benchmarks: check every operation of the method, then time it against a roofline."""

"""The method, one file per part: see README.md for the map and METHOD references in each file."""

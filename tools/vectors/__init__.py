"""Examples of everything on the wire, from fixed keys; tools/make_vectors.py writes them to files."""

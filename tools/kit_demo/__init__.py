"""`vitalwire kit-demo`: a family's way, from a kit that is nobody's to the first heartbeat."""

"""What a spec says: typed blocks, YAML reader, JSON Schema, checks."""

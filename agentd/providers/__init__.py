"""What a plugin implements: protocols and value types, no implementation."""

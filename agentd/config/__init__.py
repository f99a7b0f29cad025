"""Text -> immutable definitions; never runs anything of the user's."""

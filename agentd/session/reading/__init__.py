"""What a caller's words mean as an answer: a checked value, or the reason why not. Pure; `read` is the way in."""

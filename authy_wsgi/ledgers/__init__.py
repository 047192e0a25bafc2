"""Where moving state lives: limits, attempts, burnt codes. What is here may be forgotten; what must not is in the user store."""

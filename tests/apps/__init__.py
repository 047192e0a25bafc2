"""Apps that nobody here wrote, as they come from the package index, behind the gate; each in a virtual environment of its own."""

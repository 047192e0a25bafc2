"""The gate in each framework's own manner; one module each, which alone imports that framework."""

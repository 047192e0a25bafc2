"""The documentation: it builds, its blocks run, its commands exist, its claims hold."""

"""Where people's factors are kept: what must survive a restart."""

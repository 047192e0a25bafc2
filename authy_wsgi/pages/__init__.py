"""Our own pages: what a person meets between the app's login and the app."""

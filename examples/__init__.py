"""Two sites with a second factor around them, and the demo that runs either against the emulator. See README.md here."""

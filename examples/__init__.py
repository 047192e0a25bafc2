"""Sites with a second factor around them, and the demo that runs any of them against the emulator. See README.md here."""

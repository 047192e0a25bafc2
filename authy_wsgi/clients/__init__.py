"""Clients: one provider, or one local verifier, each. All of them have the shapes of `contracts.Client`."""

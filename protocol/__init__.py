"""What may be said between a client and the engine. Pure; imports nothing of the engine."""

"""The interview engine: timed mock system-design interviews over one WebSocket."""

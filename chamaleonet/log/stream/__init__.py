"""The verdict stream: what it says, and both of its ends (docs/verdict-stream.md)."""

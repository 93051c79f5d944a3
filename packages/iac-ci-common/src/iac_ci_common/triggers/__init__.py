"""What code hosts tell the engine, and what it makes of it: pure."""

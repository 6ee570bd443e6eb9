"""Built-in executors for CPU work beyond one machine."""

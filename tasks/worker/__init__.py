"""Worker processes, each of which trains stages on one device."""

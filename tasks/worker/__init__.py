"""A worker process: it trains stages on one device."""

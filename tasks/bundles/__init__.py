"""Studies that come from elsewhere: imported from bundles, and joined."""

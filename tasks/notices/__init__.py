"""Notices to people, by any service that apprise knows, when a study is done, failed or stuck."""

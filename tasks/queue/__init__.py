"""The queue: leases, Celery as dispatch, and what workers report."""

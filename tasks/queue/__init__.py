"""The queue: leases, Celery as dispatch, and the reports of workers."""

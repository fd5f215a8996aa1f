"""What runs where: the queue, the workers, the services, launching studies, and the command line."""

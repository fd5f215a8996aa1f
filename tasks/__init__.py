"""What runs where: launching, the queue, workers, leases, recording and the command line."""

"""Processes and commands: launching, the queue, workers, recording and the command line."""

"""Long-running services: the recorder, the reaper, and the supervisor that keeps all of them alive."""

"""The long-running parts: recorder, reaper, and all of them on one machine."""

"""Users' own networks, scores, pruners, starts and datasets: found, loaded and checked."""

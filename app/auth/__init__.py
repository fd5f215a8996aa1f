"""Who may see what: owner, viewer, and a locked door for everyone else."""

"""Actions on studies: plan, launch, rebuild, delete."""

"""What is done with studies: plan, launch, rebuild, delete."""

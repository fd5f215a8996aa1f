"""The science: study specs, plans, networks, masks, pruners, training and overlap."""

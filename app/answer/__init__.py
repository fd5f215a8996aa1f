"""What the runs of a study answer: a sentence per learning rate, and the charts of the learning rate sweep."""

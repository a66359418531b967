"""What is done to the training data: one file for each attack."""

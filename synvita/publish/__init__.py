"""What leaves the house: clips as a data set that others can load."""

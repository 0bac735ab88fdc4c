"""What leaves the house: clips as a data set, and adapters with a card that says what they are."""

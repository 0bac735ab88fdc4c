"""Which of these clips fit their captions? Scores, an order, and the best ones in a folder; nothing is trained."""

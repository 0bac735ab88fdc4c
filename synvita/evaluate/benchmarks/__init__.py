"""Public benchmarks in the files that their authors publish, one's own, and everybody's score files."""

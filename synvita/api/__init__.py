"""For use from Python: `synvita.score`, `synvita.rank`, `synvita.Run`, `synvita.known`. The commands call these."""

"""Arms: ways of using synthetic clips, each trained and asked for itself."""

"""compile=True: whole solves as compiled loops."""

"""The workers as their beats show them: who lives, who is dead, who left."""

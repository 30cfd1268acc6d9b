"""Tasks that fell out of the line: their message went missing, nobody claimed it, or their worker is gone."""

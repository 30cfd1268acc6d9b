"""From the event stream to the rows and the counters, each once."""

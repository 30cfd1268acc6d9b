"""One attempt in a pool process, from the gate to its report, and what the body may ask of its run."""

"""The page Workers: pools, who is silent, who is busy with what; eject, admit."""

"""What pages share: how times, figures and states are written and drawn. Macros beside the plain functions they use."""

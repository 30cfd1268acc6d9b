"""What workers say of themselves: that they live, and what they can run."""

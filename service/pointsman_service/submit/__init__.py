"""One submission whole, and the group commit it joins."""

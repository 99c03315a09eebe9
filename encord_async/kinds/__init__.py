"""What can be wished for: a module for each kind of entry, which says all there is to say of it. Sends nothing."""

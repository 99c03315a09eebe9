"""What can be wished for, and the steps that each wish takes. Sends nothing."""

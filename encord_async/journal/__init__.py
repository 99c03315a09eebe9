"""What was intended and what came of it, durable before anything is sent. Decides nothing."""

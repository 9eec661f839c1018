"""Speaking with the service: messages, frames, client, spool, tracker. Nothing here loads torch."""

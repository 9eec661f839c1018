"""What whoever runs the service looks at: metrics, logs, readiness."""

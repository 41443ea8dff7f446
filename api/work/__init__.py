"""What routes work with: services, lines, jobs, uploads."""

"""Services behind the routes: lines, jobs, frames, uploads."""

"""What is found, as documents: JSON and files for other programs."""

"""What several metrics compute."""

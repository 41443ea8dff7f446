"""What commands show to people, where they write, and how they are stopped."""

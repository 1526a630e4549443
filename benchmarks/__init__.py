"""Side by side with what a user would pick instead, and what the server adds (`make bench`)."""

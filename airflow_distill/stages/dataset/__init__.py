"""What the student will be taught: interactions become a curated, checked and split dataset."""

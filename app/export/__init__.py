"""What a study is saved as: its report, a zip, its tables."""

"""What explains the dashboard to a reader: the terms of the glossary, links to them, and the tour of the demo."""

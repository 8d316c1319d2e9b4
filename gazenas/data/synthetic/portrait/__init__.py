"""The second renderer: faces with the measures of people, and with the variety that photographs have."""

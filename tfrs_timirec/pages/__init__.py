"""What the pages of reports have in common: their frame, their colours and their pictures."""

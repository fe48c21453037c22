"""Systems against each other: what is missing is trained, and a report is written."""

"""What a log can and cannot show, before anyone trains."""

"""What flies: look, judge, shorten. Imports `downlink` and nothing else of ours."""

"""Training of the ship detector: real and generated scenes in, a committed model folder out.

Runs on the ground, before flight, with torch and ultralytics; nothing that flies imports this package.
`python -m onboard.training --help` lists the steps.
"""

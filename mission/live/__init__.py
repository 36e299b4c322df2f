"""The live services: the cores of the mission in real time, over sockets, files and processes."""

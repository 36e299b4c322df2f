"""The command line options that every service takes. Imports argparse alone, so that every command starts at once."""

import argparse


def add_service_options(parser: argparse.ArgumentParser) -> None:
    """Adds what every service takes: `--scenario`, `--state`, `--http`, `--log-level`."""
    parser.add_argument("--scenario", metavar="FILE", help="scenario file, or the name of one that ships")
    parser.add_argument("--state", metavar="DIR", help="folder of everything that outlives the process")
    parser.add_argument("--http", metavar="HOST:PORT", help="where health, status and metrics are answered, or 'none'")
    parser.add_argument("--log-level", metavar="LEVEL", help="debug, info, warning or error (info)")

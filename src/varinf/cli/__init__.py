"""The command line: `varinf`."""

from varinf.cli._main import main as main

"""From arguments to an exit code: 0 done, 1 a fault of ours, 2 a fault in what was asked or given, 130 interrupted."""

import sys
from collections.abc import Sequence

from varinf.cli._app import app
from varinf.errors import InputError, NonFiniteError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    try:
        return app(args=None if arguments is None else list(arguments), standalone_mode=False) or 0
    except (InputError, NonFiniteError) as error:
        return _complain(str(error), 2)
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        where = f"{error.filename}: " if error.filename else ""
        return _complain(f"{where}{error.strerror or error}", 2)
    except KeyboardInterrupt:
        return _complain("interrupted", 130)
    except Exception as error:
        # Typer's own complaints (an unknown option, a missing argument) know their exit code and their words.
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):
            return _complain(error.format_message(), 2)
        raise


def _complain(message: str, code: int) -> int:
    line = " ".join(message.split())
    print(f"varinf: {line[:1].lower() + line[1:] if line[:2].istitle() else line}", file=sys.stderr)
    return code

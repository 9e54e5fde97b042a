"""``python -m galadapt`` is the ``galadapt`` command."""

from galadapt.cli import main

if __name__ == "__main__":
    raise SystemExit(main())

"""`python -m mailroom.cli`: the command line."""

from mailroom.cli._app import main

if __name__ == "__main__":
    main()

"""`python -m featx` is the command `featx`."""

from featx.cli import entry

if __name__ == "__main__":
    entry()

"""`python -m indexer`: the same as the `indexer` command."""

from indexer.commands.app import main

if __name__ == "__main__":
    main()

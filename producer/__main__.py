"""`python -m producer …`: the `camq` command."""

from producer.cli import main

if __name__ == "__main__":
    main()

"""`python -m producer …`: the `camq` command."""

from producer.cli.main import main

if __name__ == "__main__":
    main()

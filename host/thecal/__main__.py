"""`python -m thecal ...`: the same as the `thecal` command, for those without make or a PATH entry."""

from thecal.host.cli import main

if __name__ == "__main__":
    main()

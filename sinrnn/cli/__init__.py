"""The programs: parse, run, print."""

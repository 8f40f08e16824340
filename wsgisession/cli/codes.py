"""The exit codes of commands. Knows nothing else."""

OK = 0
FINDING = 1  # there is a finding, no such session, or the answer to a question was no
USAGE = 2  # the command line or the configuration is wrong
UNREACHABLE = 3  # the store failed

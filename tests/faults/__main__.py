"""`python -m tests.faults` plants every fault and prints what finds it."""

from tests.faults import main

main()

"""What `make torture` does to the project: damaged bitstreams by the hundred thousand, kills, and faults, all counted.

``python -m tests.torture`` runs it whole and writes the table of counts; a few of everything run with the tests.
"""

"""Prints what junitparser reads of a file: the totals, then SUITE, CASE and RESULT a line."""

import sys

from junitparser import Error, Failure, JUnitXml

read = JUnitXml.fromfile(sys.argv[1])
print(read.tests, read.failures, read.errors, sep="\t")
for suite in read:
    for case in suite:
        found = "passed"
        for result in case.result:
            found = {Failure: "failure", Error: "error"}[type(result)]
        print(suite.name, case.name, found, sep="\t")

"""Writes, to the file that is its argument, what nbgrader's own exporter writes of a gradebook.

The gradebook comes on standard input, as JSON: {"assignment", "duedate", "max", "students":
[{"id", "first", "last", "email", "timestamp", "handed", "score", "penalty"}]}. Times are in UTC,
"" for none.
"""

import json
import sys
from datetime import datetime

from nbgrader.api import Gradebook
from nbgrader.plugins import CsvExportPlugin


def when(text):
    return datetime.fromisoformat(text) if text else None


book = json.load(sys.stdin)
name = book["assignment"]
with Gradebook("sqlite:///:memory:") as gb:
    gb.add_assignment(name, duedate=when(book["duedate"]))
    gb.add_notebook("answer", name)
    gb.add_grade_cell("points", "answer", name, max_score=book["max"], cell_type="code")
    for s in book["students"]:
        gb.add_student(s["id"], first_name=s["first"], last_name=s["last"], email=s["email"])
        if not s["handed"]:
            continue
        submission = gb.add_submission(name, s["id"])
        submission.timestamp = when(s["timestamp"])
        gb.find_grade("points", "answer", name, s["id"]).manual_score = s["score"]
        for notebook in submission.notebooks:
            notebook.late_submission_penalty = s["penalty"]
        gb.db.commit()
    CsvExportPlugin(to=sys.argv[1]).export(gb)

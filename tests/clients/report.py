"""The matrix as a table: a line per client, a column per scenario, and a note for each known exception."""

import install


class Report:
    def __init__(self):
        self.cells = {}  # (row, scenario) → what stands there
        self.notes = []

    def put(self, row, scenario, says):
        self.cells[row, scenario] = says

    def note(self, text):
        """The number of a footnote."""
        if text not in self.notes:
            self.notes.append(text)
        return self.notes.index(text) + 1

    def text(self):
        columns = list(dict.fromkeys(scenario for _, scenario in self.cells))
        names = list(dict.fromkeys(row for row, _ in self.cells))
        lines = ["| client | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
        for name in names:
            lines.append(f"| {name} | " + " | ".join(self.cells.get((name, column), "") for column in columns) + " |")
        lines += ["", *(f"({number}) {note}" for number, note in enumerate(self.notes, 1))]
        took = [f"{stamp.stem} {stamp.read_text().split(maxsplit=1)[1].strip()}" for stamp in install.PLACE.glob("*.stamp")]
        lines += ["", "installed in: " + ", ".join(sorted(took))]
        return "\n".join(lines) + "\n"


THE_REPORT = Report()

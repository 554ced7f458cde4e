"""Lints every statement that the store says to SQL Server, and its migrations.

The statements are strings in src/store/sqlserver/. They are taken from there, put together as the code
does it, and given to sqlfluff, a file each. A string that looks like SQL and comes into no statement fails
the run, so none is passed over. What sqlfluff takes and the project does not is looked for here.

    python3 deploy/sql/lint.py SQLFLUFF OUT
"""

import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
FOLDER = HERE.parent.parent / "src" / "store" / "sqlserver"
SOURCES = sorted(FOLDER.glob("*.rs"))

STRING = re.compile(r'"((?:[^"\\]|\\.)*)"', re.S)
CONSTANT = re.compile(r'const ([A-Z_]+): &str =\s*"((?:[^"\\]|\\.)*)"', re.S)
STATEMENT = re.compile(r"(SELECT|INSERT|UPDATE|DELETE|MERGE|CREATE|ALTER|DROP|DECLARE|IF|EXEC)\s")
# Parts of statements: what begins with one of these words, or has a parameter.
PART = re.compile(r"(WHERE|FROM|AND|ORDER BY)\s|[^{]*@P\d")
PLACE = re.compile(r"\{(\w*)\}")

# What stands in a place that no constant fills, by file: a pattern of parts of that file, or samples.
PLACES = {
    ("activities.rs", "condition"): re.compile(r"WHERE "),
    ("changes.rs", "table"): ["account", "product", "activity"],
    ("changes.rs", ""): ["title = @P2, version = @P3"],
    ("changes.rs", "comma"): [""],
    ("changes.rs", "column"): ["title"],
    ("changes.rs", "place"): ["2"],
    ("counters.rs", "name"): ["version"],
    ("flush.rs", "table"): ["sales_order", "payment"],
    ("orders.rs", "next"): re.compile(r"FROM sales_order o\s+WHERE"),
    ("orders.rs", "of"): re.compile(r"o\.(user|activity)_id = @P4"),
    ("orders.rs", "status"): re.compile(r"AND "),
}

# What the linter must find, or it finds nothing.
CANARIES = [
    "SELECT id FROM WHERE id = @P1;\n",
    "select id FROM account;\n",
    "SELECT a.id FROM account a WHERE b.id = @P1;\n",
]

# T-SQL that is none of the project's, though it is well written, and what must be found of each. Babelfish has
# no MERGE, gives stale values by OUTPUT, and takes lock hints without heeding them: what leans on one is right
# on SQL Server alone, and no test would show it. A lock that is no hint (sp_getapplock, a level of isolation
# that is set) is another thing.
RULED_OUT = [
    (
        "MERGE",
        re.compile(r"\bMERGE\s(?!\s*(JOIN|UNION)\b)", re.I),
        ["MERGE INTO account a USING product p ON a.id = p.id WHEN MATCHED THEN DELETE;"],
    ),
    (
        "OUTPUT",
        re.compile(r"\bOUTPUT\s+(INSERTED|DELETED)\b", re.I),
        ["UPDATE counter SET last = last + 1 OUTPUT INSERTED.last WHERE name = @P1;"],
    ),
    (
        "a lock hint",
        re.compile(
            r"\b(UPDLOCK|XLOCK|TABLOCKX?|PAGLOCK|ROWLOCK|HOLDLOCK|NOLOCK|READPAST|READCOMMITTEDLOCK"
            r"|REPEATABLEREAD|READCOMMITTED|READUNCOMMITTED)\b"
            r"|\bWITH\s*\(([^()]|\([^()]*\))*\b(SERIALIZABLE|SNAPSHOT|NOWAIT)\b",
            re.I,
        ),
        [
            "SELECT last FROM counter WITH (UPDLOCK, HOLDLOCK) WHERE name = @P1;",
            "SELECT last FROM counter c (READPAST) WHERE name = @P1;",
            "INSERT INTO trail WITH (TABLOCK) SELECT at FROM #trail;",
            "SELECT last FROM counter WITH (INDEX (1), SERIALIZABLE);",
        ],
    ),
]
# Comments and values.
NO_CODE = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'", re.S)


def production(path):
    """The text of a source without comments and tests."""
    text = path.read_text().split("#[cfg(test)]\nmod tests {")[0]
    return re.sub(r"^\s*//.*$", "", text, flags=re.M)


def plain(literal):
    """A literal as the program has it."""
    return re.sub(r"\\\n\s*", "", literal).replace('\\"', '"')


def constants():
    """The constants of all sources that hold text, by file and name."""
    found = {}
    for path in SOURCES:
        for name, text in CONSTANT.findall(production(path)):
            found[path.name, name] = plain(text)
    return found


def constant(known, name, of):
    """A constant of a file, or the one of that name that it takes from another."""
    if (of, name) in known:
        return known[of, name]
    others = {text for (_, other), text in known.items() if other == name}
    return others.pop() if len(others) == 1 else None


class Statements:
    """The statements of one source, and what of it is in none."""

    def __init__(self, path, known):
        self.name, self.known = path.name, known
        literals = [plain(text) for text in STRING.findall(production(path))]
        self.wholes = [text for text in literals if STATEMENT.match(text)]
        self.parts = {text: False for text in literals if not STATEMENT.match(text) and PART.match(text)}

    def fill(self, text):
        """A text with every place filled, in each way there is."""
        place = PLACE.search(text)
        if place is None:
            return [text]
        fillings = []
        for value in self.values(place.group(1)):
            fillings += self.fill(text[: place.start()] + value + text[place.end() :])
        return fillings

    def values(self, name):
        text = constant(self.known, name, self.name)
        if text is not None:
            self.use(text)
            return [text]
        rule = PLACES.get((self.name, name))
        if rule is None:
            sys.exit(f"{self.name}: nobody says what stands in {{{name}}}: add it to PLACES in {__file__}")
        if isinstance(rule, list):
            return rule
        found = [text for text in self.parts if rule.match(text)]
        for text in found:
            self.use(text)
        return found

    def use(self, text):
        if text in self.parts:
            self.parts[text] = True

    def all(self):
        for text in self.wholes:
            yield from self.fill(text)

    def unused(self):
        taken = {text for (_, text) in self.known.items()}
        return [text for text, is_used in self.parts.items() if not is_used and text not in taken]


def ruled_out(text):
    """What there is in a statement that is none of the project's."""
    code = NO_CODE.sub("''", text)
    return [what for what, rule, _ in RULED_OUT if rule.search(code)]


def look_for_ruled_out(out):
    """Ends the run where a statement has any of it, or where it would not be found."""
    for what, _, canaries in RULED_OUT:
        for broken in canaries:
            if ruled_out(broken) != [what]:
                sys.exit(f"{what} is not found in: {broken}")
    told = []
    for path in sorted(out.glob("*.sql")):
        told += [f"{path.name}: {what} is none of the project's" for what in ruled_out(path.read_text())]
    if told:
        sys.exit("\n".join(told))


def main():
    sqlfluff, out = sys.argv[1], pathlib.Path(sys.argv[2])
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    known, count, unused = constants(), 0, []
    for path in SOURCES:
        statements = Statements(path, known)
        for number, text in enumerate(dict.fromkeys(statements.all())):
            (out / f"{path.stem}_{number:02}.sql").write_text(text.strip().rstrip(";") + ";\n")
            count += 1
        unused += [f"{path.name}: in no statement: {text!r}" for text in statements.unused()]
    if unused:
        sys.exit("\n".join(unused))
    for path in FOLDER.glob("*.sql"):
        shutil.copy(path, out)
    print(f"{count} statements of the store, and its migrations", flush=True)
    look_for_ruled_out(out)
    lint = [sqlfluff, "lint", "--config", HERE / "sqlfluff.cfg", "--disable-progress-bar"]
    for broken in CANARIES:
        told = subprocess.run([*lint, "-"], input=broken, text=True, stdout=subprocess.DEVNULL)
        if told.returncode == 0:
            sys.exit(f"the linter finds nothing wrong with: {broken}")
    sys.exit(subprocess.call([*lint, out]))


main()

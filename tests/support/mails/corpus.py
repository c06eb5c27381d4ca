"""All mails of our own: those by generators, and those by hand in tests/data/parser_own; and as a corpus for other scorers.

.venv/bin/python -m tests.support.mails.corpus FOLDER      # writes manifest.jsonl and the mails
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support.mails import documents, files, forms, heads, names, nested, reports, texts
from tests.support.mails.making import Sample, samples

#: Imported for the kinds that they register.
GENERATORS = (documents, files, forms, heads, names, nested, reports, texts)
BY_HAND = Path(__file__).parents[2] / "data" / "parser_own"


def corpus() -> Iterator[Sample]:
    """Yield every mail with what is right for it."""
    yield from samples()
    for line in (BY_HAND / "manifest.jsonl").read_text().splitlines():
        record = json.loads(line)
        yield Sample(record["id"], "by_hand", (BY_HAND / record["path"]).read_bytes(), record)


def write(folder: Path) -> int:
    """Write the corpus with its manifest, and return the number of mails."""
    (folder / "msgs").mkdir(parents=True, exist_ok=True)
    records = []
    for sample in corpus():
        path = f"msgs/{sample.name.replace('/', '-')}.eml"
        (folder / path).write_bytes(sample.raw)
        # Other scorers assert no missing identity.
        wanted = {key: value for key, value in sample.right.items() if (key, value) != ("message_id", None)}
        records.append({**wanted, "id": sample.name, "source": sample.kind, "path": path})
    (folder / "manifest.jsonl").write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records))
    return len(records)


if __name__ == "__main__":
    print(f"{write(Path(sys.argv[1]))} mails")

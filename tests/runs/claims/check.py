"""What `make claims` must leave: python -m tests.runs.claims.check runs [size]"""

import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import nbformat

VERDICTS = {"holds", "does not hold", "cannot be told"}
TABLES = ("retrieval", "q-against-z", "zero-shot", "prompts", "probing", "microscope")
PICTURES = (
    "retrieval", "gap", "separability", "steps", "batch", "memory", "lam", "lam-gap", "tau", "differences",
)  # fmt: skip


def check(runs: Path, size: str) -> None:
    """Assert what the newest run of the claims left."""
    found = [p for p in runs.glob("05_claims/*/run.json") if json.loads(p.read_text())["parameters"]["size"] == size]
    assert found, f"no run of the claims at size {size} in {runs}"
    folder = max(found, key=lambda path: path.stat().st_mtime).parent
    assert json.loads((folder / "run.json").read_text())["status"] == "done"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["failed"] == [], metrics["failed"]
    assert len(metrics["findings"]) == metrics["summary"]["claims"] >= 14
    for key, finding in metrics["findings"].items():
        assert finding["verdict"] in VERDICTS and finding["evidence"], f"{key}: {finding['missing']}"
    page = (folder / "claims.md").read_text(encoding="utf-8")
    for name in PICTURES:
        assert f"figures/{name}.svg" in page and ET.parse(folder / "figures" / f"{name}.svg").getroot() is not None
    for name in TABLES:
        rows = json.loads((folder / "tables" / f"{name}.json").read_text())
        assert rows and all(score["protocol"]["data_hash"] for row in rows.values() for score in row.values())
        assert (folder / "tables" / f"{name}.tex").is_file()
    executed = nbformat.read(folder / "notebook.ipynb", as_version=4)
    outputs = [o for cell in executed.cells if cell.cell_type == "code" for o in cell.outputs]
    assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"], "it says nothing alarming"
    said = " ".join(str(o.get("data", {}).get("text/markdown", "")) for o in outputs)
    assert all(finding["claim"].split("'")[0][:20] in said for finding in metrics["findings"].values())
    print(
        f"checked: {len(metrics['findings'])} findings, {len(TABLES)} tables and {len(PICTURES)} pictures in {folder}"
    )


if __name__ == "__main__":
    check(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "smoke")

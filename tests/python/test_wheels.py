"""The wheels that tests are made of hold what their RECORD and their metadata say."""

import base64
import csv
import hashlib
import importlib.metadata
import io
import zipfile
from pathlib import Path

from kit.wheels import native_tag, wheel


def test_a_wheel_is_the_same_every_time_and_has_a_right_record(tmp_path: Path) -> None:
    made = [
        wheel(
            "Space.Ship",
            "1.0",
            {"ship/__init__.py": "VALUE = 1\n", "ship/a,b.txt": "x"},
            requires=["alpha>=1"],
            extras={"more": ["beta"]},
            scripts={"ship": "ship:main"},
            entry_points={"fleet": {"one": "ship:VALUE"}},
            data={"data/share/ship.json": "{}", "scripts/dock": "#!python\n"},
            folders=True,
        )
        for _ in range(2)
    ]
    assert made[0].data == made[1].data
    assert made[0].filename == "space_ship-1.0-py3-none-any.whl"
    with zipfile.ZipFile(made[0].write(tmp_path)) as archive:
        files = {info.filename for info in archive.infolist() if not info.is_dir()}
        assert {info.filename for info in archive.infolist() if info.is_dir()} > {"ship/", "space_ship-1.0.dist-info/"}
        rows = list(csv.reader(io.StringIO(archive.read("space_ship-1.0.dist-info/RECORD").decode())))
        assert {path for path, _, _ in rows} == files
        for path, digest, size in rows[:-1]:
            content = archive.read(path)
            expected = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
            assert (digest, int(size)) == (f"sha256={expected}", len(content))
        assert rows[-1] == ["space_ship-1.0.dist-info/RECORD", "", ""]
        archive.extractall(tmp_path / "site")
        assert archive.getinfo("space_ship-1.0.data/scripts/dock").external_attr >> 16 == 0o100755
    found = importlib.metadata.PathDistribution(tmp_path / "site" / "space_ship-1.0.dist-info")
    assert (found.metadata["Name"], found.version) == ("Space.Ship", "1.0")
    assert found.requires == ["alpha>=1", "beta; extra == 'more'"]
    assert {(each.group, each.name) for each in found.entry_points} == {("console_scripts", "ship"), ("fleet", "one")}


def test_a_wheel_is_wrong_on_purpose(tmp_path: Path) -> None:
    row = "alpha.py,sha256=x,1\n"
    made = wheel("alpha", "1", {"alpha.py": ""}, record=row, more={"beta.py": "1"}, tag=native_tag())
    with zipfile.ZipFile(made.write(tmp_path)) as archive:
        assert archive.read("alpha-1.dist-info/RECORD") == row.encode()
        assert archive.read("beta.py") == b"1"
        assert f"Tag: {native_tag()}\n" in archive.read("alpha-1.dist-info/WHEEL").decode()

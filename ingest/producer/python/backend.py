"""Makes the wheel: the package and its metadata in a zip file, the same bytes each time (PEP 517, PEP 427)."""
import base64
import hashlib
import pathlib
import re
import tarfile
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can say


def _project(name):
    found = re.search(rf'^{name} = "(.*)"$', (HERE / "pyproject.toml").read_text("utf-8"), re.M)
    assert found, name
    return found.group(1)


def _stem():
    return f"{_project('name')}-{_project('version')}"


def _files():
    package = HERE / _project("name")
    return sorted(path for path in package.iterdir() if path.suffix == ".py" or path.name == "py.typed")


def _metadata():
    return {
        "METADATA": f"Metadata-Version: 2.1\nName: {_project('name')}\nVersion: {_project('version')}\nSummary: {_project('description')}\n"
                    f"License: Apache-2.0\nRequires-Python: {_project('requires-python')}\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: tabiji\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    name, info = f"{_stem()}-py3-none-any.whl", f"{_stem()}.dist-info"
    members = {path.relative_to(HERE).as_posix(): path.read_bytes() for path in _files()}
    members.update({f"{info}/{key}": text.encode() for key, text in _metadata().items()})
    record = ""
    for path, data in members.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(data)}\n"
    members[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    with zipfile.ZipFile(pathlib.Path(wheel_directory, name), "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, data in members.items():
            entry = zipfile.ZipInfo(path, EPOCH)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(entry, data)
    return name


def build_sdist(sdist_directory, config_settings=None):
    name = f"{_stem()}.tar.gz"
    info = pathlib.Path(sdist_directory, "PKG-INFO")
    info.write_text(_metadata()["METADATA"], "utf-8")
    with tarfile.open(pathlib.Path(sdist_directory, name), "w:gz") as archive:
        for path in [HERE / "pyproject.toml", HERE / "backend.py", *_files()]:
            archive.add(path, f"{_stem()}/{path.relative_to(HERE).as_posix()}")
        archive.add(info, f"{_stem()}/PKG-INFO")
    info.unlink()
    return name

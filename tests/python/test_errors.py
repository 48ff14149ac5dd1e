"""The exception tree: what each class is, carries, and survives."""

import copy
import inspect
import json
import pickle

import pytest

from magic_module import errors

ALL = [getattr(errors, name) for name in errors.__all__]
CLASSES = [cls for cls in ALL if not issubclass(cls, Warning)]
DETAILS = {
    "name": "magic_module.alpha",
    "url": "http://127.0.0.1:1/files/alpha.csv",
    "path": "/cache/v1/blobs/ab",
    "expected": "sha256 ab",
    "got": "sha256 cd",
    "hint": "try again",
}


def test_every_class_of_the_tree_is_public_and_described() -> None:
    found = {
        name for name, value in vars(errors).items() if inspect.isclass(value) and value.__module__ == errors.__name__
    }
    assert found == set(errors.__all__)
    assert errors.__doc__ is not None
    for name in found:
        assert name in errors.__doc__
        assert inspect.getdoc(getattr(errors, name))


def test_only_an_absent_unit_is_a_missing_module() -> None:
    assert [cls.__name__ for cls in CLASSES if issubclass(cls, ModuleNotFoundError)] == ["UnitNotFoundError"]
    assert all(issubclass(cls, errors.MagicModuleError) and issubclass(cls, ImportError) for cls in CLASSES)
    assert issubclass(errors.SignatureError, errors.IntegrityError)


@pytest.mark.parametrize("cls", CLASSES)
def test_an_error_survives_pickle_and_copy(cls: type[errors.MagicModuleError]) -> None:
    error = cls("cannot load alpha; try again", **DETAILS, causes=("outer", "inner"))
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(error, protocol))
        assert type(again) is cls
        assert again.to_dict() == error.to_dict()
    assert copy.copy(error).to_dict() == error.to_dict()


def test_to_dict_is_the_whole_error() -> None:
    error = errors.IntegrityError("cannot load alpha; try again", **DETAILS, causes=["outer", "inner"])
    assert str(error) == "cannot load alpha; try again"
    assert json.loads(json.dumps(error.to_dict())) == {
        "schema": 1,
        "type": "IntegrityError",
        "message": "cannot load alpha; try again",
        **DETAILS,
        "causes": ["outer", "inner"],
    }


def test_what_is_not_known_is_none() -> None:
    error = errors.MagicModuleError("cannot do it")
    assert error.causes == ()
    assert {key: value for key, value in error.to_dict().items() if value is not None} == {
        "schema": 1,
        "type": "MagicModuleError",
        "message": "cannot do it",
        "causes": [],
    }

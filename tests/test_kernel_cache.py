"""Compiled code is kept apart for each version of its sources."""

from pathlib import Path

from processors.kernel_cache import digest_of, keep_kernels_apart


def test_the_same_sources_share_a_folder_and_any_change_has_one_of_its_own(tmp_path: Path) -> None:
    one, other = tmp_path / "one.py", tmp_path / "other.py"
    one.write_text("A = 1\n")
    other.write_text("B = 2\n")
    before = digest_of([one, other])
    assert digest_of([other, one]) == before
    other.write_text("B = 3\n")
    assert digest_of([one, other]) != before


def test_numba_is_told_of_a_folder_that_is_there(tmp_path: Path) -> None:
    environment = {"XDG_CACHE_HOME": str(tmp_path)}
    keep_kernels_apart(environment)
    assert Path(environment["NUMBA_CACHE_DIR"]).is_dir()
    assert Path(environment["NUMBA_CACHE_DIR"]).parent == tmp_path / "margin-ledger"


def test_a_folder_that_somebody_chose_is_left_alone(tmp_path: Path) -> None:
    environment = {"XDG_CACHE_HOME": str(tmp_path), "NUMBA_CACHE_DIR": "/elsewhere"}
    keep_kernels_apart(environment)
    assert environment["NUMBA_CACHE_DIR"] == "/elsewhere"
    assert list(tmp_path.iterdir()) == []


def test_where_none_can_be_made_numba_is_left_to_itself(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    environment = {"XDG_CACHE_HOME": str(tmp_path / "file")}
    keep_kernels_apart(environment)
    assert "NUMBA_CACHE_DIR" not in environment

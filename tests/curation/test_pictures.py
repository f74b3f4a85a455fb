import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from charaforge.curation.pictures import Found, find_pictures, read_picture, shown
from charaforge.errors import PictureError
from tests.curation.hostile import obey_permissions

RED, WHITE = (255, 0, 0), (255, 255, 255)


def _pixel(path: Path) -> tuple[int, ...]:
    return tuple(int(value) for value in read_picture(path).rgb[0, 0])


def _reason(path: Path) -> str:
    with pytest.raises(PictureError) as caught:
        read_picture(path)
    return caught.value.message


def _noise(size: tuple[int, int] = (64, 64)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8))


def test_a_picture_is_told_with_size_format_and_sha256(tmp_path: Path) -> None:
    Image.new("RGB", (3, 2), RED).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    assert (picture.width, picture.height, picture.format, picture.notes) == (3, 2, "png", ())
    assert picture.rgb.shape == (2, 3, 3)
    assert len(picture.sha256) == 64


def test_a_renamed_picture_is_read_and_noted(tmp_path: Path) -> None:
    _noise().save(tmp_path / "a.png", "JPEG")
    assert read_picture(tmp_path / "a.png").notes == ("extension says png, content is jpeg",)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "gif", "tif"])
def test_cut_off_files_say_so(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"a.{suffix}"
    _noise().save(file)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert _reason(file).startswith("broken")


def test_empty_files_and_other_contents_say_so(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "b.png").write_text("<html>")
    assert _reason(tmp_path / "a.png") == "the file is empty (0 bytes)"
    assert _reason(tmp_path / "b.png").endswith("known (begins with 3c 68 74 6d 6c 3e)")
    assert _reason(tmp_path / "c.png") == "cannot be read: No such file or directory"


def test_transparency_becomes_white_in_every_mode(tmp_path: Path) -> None:
    Image.new("RGBA", (2, 2), (0, 0, 0, 0)).save(tmp_path / "rgba.png")
    Image.new("LA", (2, 2), (0, 0)).save(tmp_path / "la.png")
    Image.new("P", (2, 2), 0).save(tmp_path / "p.png", transparency=0)
    Image.new("RGB", (2, 2), 0).save(tmp_path / "rgb.png", transparency=(0, 0, 0))
    assert [_pixel(path) for path in sorted(tmp_path.iterdir())] == [WHITE] * 4


def test_sixteen_bits_keep_their_brightness(tmp_path: Path) -> None:
    Image.fromarray(np.full((2, 2), 32768, np.uint16)).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    assert picture.rgb[0, 0].tolist() == [128] * 3
    assert picture.notes == ("more than 8 bits: converted to 8",)


def test_floats_keep_their_brightness(tmp_path: Path) -> None:
    Image.fromarray(np.full((2, 2), 0.5, np.float32)).save(tmp_path / "a.tif")
    assert _pixel(tmp_path / "a.tif") == (128, 128, 128)


def test_cmyk_is_converted_and_noted(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg")
    assert np.abs(np.subtract(_pixel(tmp_path / "a.jpg"), RED)).max() < 12
    assert read_picture(tmp_path / "a.jpg").notes == ("CMYK: converted to RGB",)


def test_pictures_stand_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (4, 2)).save(tmp_path / "a.jpg", exif=exif)
    picture = read_picture(tmp_path / "a.jpg")
    assert (picture.width, picture.height) == (2, 4)
    assert picture.notes == ("EXIF orientation 6: turned upright",)


def test_animations_give_their_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in (RED, WHITE)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    assert _pixel(tmp_path / "a.webp") == RED
    assert read_picture(tmp_path / "a.webp").notes == ("animated: first frame",)


def test_a_huge_picture_is_refused_by_its_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charaforge.curation.pictures.MAX_PIXELS", 99)
    Image.new("RGB", (10, 10)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("it was decoded"))
    assert _reason(tmp_path / "a.png").startswith("too large: 10 × 10 px")


def test_special_files_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    assert find_pictures(tmp_path) == [Found(tmp_path / "a.png", "no regular file")]
    assert _reason(tmp_path / "a.png") == "no regular file"


def test_folders_are_searched_in_order_without_hidden_and_other_files(tmp_path: Path) -> None:
    for name in ("b/x.PNG", "a.jpg", "b/.x.png", ".cache/y.png", "notes.txt", "b/c/z.webp", "b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    names = [found.path.relative_to(tmp_path).as_posix() for found in find_pictures(tmp_path)]
    assert names == ["a.jpg", "b.png", "b/c/z.webp", "b/x.PNG"]


def test_links_are_followed_once(tmp_path: Path) -> None:
    root, other = tmp_path / "in", tmp_path / "other"
    for folder in (root / "sub", other):
        folder.mkdir(parents=True)
        (folder / "x.png").touch()
    (root / "a").symlink_to(other)
    (root / "again").symlink_to(root / "sub")
    (root / "loop").symlink_to(root)
    (root / "nowhere.png").symlink_to(root / "missing.png")
    (root / "self.png").symlink_to(root / "self.png")
    told = {str(found.path.relative_to(root)): found.error for found in find_pictures(root)}
    assert told == {
        "a/x.png": "",
        "again": f"a link to {root / 'sub'}, which is listed already",
        "loop": f"a link to {root}, which is listed already",
        "nowhere.png": f"a link that leads nowhere ({root / 'missing.png'})",
        "self.png": "a link that leads in circles",
        "sub/x.png": "",
    }


def test_names_that_are_not_utf8_get_a_readable_row(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xe9.png"))
    path.touch()
    (found,) = find_pictures(tmp_path)
    assert "not UTF-8" in found.error
    assert shown(found.path) == f"{tmp_path}/\\xff\\xe9.png"


@pytest.mark.launch
def test_unreadable_folders_and_files_get_a_row(tmp_path: Path) -> None:
    for name in ("open", "closed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.png").touch()
    (tmp_path / "open" / "x.png").chmod(0)
    (tmp_path / "closed").chmod(0)
    program = (
        "import sys; from pathlib import Path\n"
        "from charaforge.curation.pictures import find_pictures, read_picture\n"
        "found = find_pictures(Path(sys.argv[1])); print(*(one.error for one in found), sep='|')\n"
        "try: read_picture(found[1].path)\n"
        "except Exception as error: print(error)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, preexec_fn=obey_permissions)
    (tmp_path / "closed").chmod(0o755)
    assert done.stdout.splitlines() == [
        "the folder cannot be read: Permission denied|",
        "cannot be read: Permission denied",
    ]

"""The mark of a generated picture: it goes into the file, comes back, and is as easily lost."""

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from expr_lib import __version__
from expr_lib.errors import BrokenMark, UnreadablePhoto
from expr_lib.marking import EDITED_BY_A_MODEL, MARKED_FORMATS, Provenance, provenance_of
from expr_lib.transfer import write_picture

MADE = Provenance("the paper's model", 'run <night> & "day", weights 0123456789abcdef')
SUFFIXES = [".png", ".jpg", ".webp"]
PACKET = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
    'xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">{}</rdf:RDF></x:xmpmeta>'
)


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)


def save_with(path: Path, packet: str) -> Path:
    """A PNG with a packet that is not ours."""
    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt("XML:com.adobe.xmp", packet)
    Image.new("RGB", (8, 8)).save(path, pnginfo=chunks)
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_mark_comes_back_and_changes_no_pixel(
    suffix: str, photo: np.ndarray, tmp_path: Path
) -> None:
    marked, plain = tmp_path / f"marked{suffix}", tmp_path / f"plain{suffix}"
    write_picture(marked, photo, MADE)
    write_picture(plain, photo)
    assert provenance_of(marked) == MADE
    assert provenance_of(plain) is None
    with Image.open(marked) as one, Image.open(plain) as other:
        assert one.format in MARKED_FORMATS
        assert (np.asarray(one) == np.asarray(other)).all()


def test_it_says_so_in_the_words_of_the_standard(photo: np.ndarray, tmp_path: Path) -> None:
    """As another program reads it: by Pillow's own reader, by names and addresses alone."""
    write_picture(tmp_path / "out.jpg", photo, MADE)
    with Image.open(tmp_path / "out.jpg") as image:
        about = image.getxmp()["xmpmeta"]["RDF"]["Description"]
        packet = image.info["xmp"]
    assert about["DigitalSourceType"] == EDITED_BY_A_MODEL
    assert about["AISystemUsed"] == "the paper's model"
    assert about["AISystemVersionUsed"] == MADE.version
    assert about["CreatorTool"] == f"expr_lib {__version__}"
    assert b"Iptc4xmpExt:DigitalSourceType" in packet  # readers that look for the text
    assert packet.startswith(b"<?xpacket begin=") and packet.endswith(b'<?xpacket end="w"?>')


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_another_program_that_saves_it_again_loses_it(
    suffix: str, photo: np.ndarray, tmp_path: Path
) -> None:
    path, again, cut = (tmp_path / f"{name}{suffix}" for name in ("out", "again", "cut"))
    write_picture(path, photo, MADE)
    with Image.open(path) as image:
        image.save(again)
        image.crop((4, 4, 28, 28)).save(cut)
    assert provenance_of(again) is None
    assert provenance_of(cut) is None


def test_a_copy_of_the_file_keeps_it(photo: np.ndarray, tmp_path: Path) -> None:
    write_picture(tmp_path / "out.png", photo, MADE)
    copy = tmp_path / "holiday.jpg"  # the name says nothing about the format
    copy.write_bytes((tmp_path / "out.png").read_bytes())
    assert provenance_of(copy) == MADE


@pytest.mark.parametrize("suffix", [".bmp", ".tif", ".gif"])
def test_other_formats_are_written_without_it(
    suffix: str, photo: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / f"out{suffix}"
    write_picture(path, photo, MADE)
    with Image.open(path) as image:
        assert image.size == (32, 32)
        assert "xmp" not in image.info
    with pytest.raises(UnreadablePhoto, match="no PNG, JPEG or WebP"):
        provenance_of(path)


@pytest.mark.parametrize(
    "about",
    [
        '<rdf:Description e:DigitalSourceType="digital:it"/>',
        "<rdf:Description><e:DigitalSourceType> digital:it\n</e:DigitalSourceType>"
        "</rdf:Description>",
        '<rdf:Description><e:DigitalSourceType rdf:resource="digital:it"/></rdf:Description>',
        '<rdf:Description/><rdf:Description e:DigitalSourceType="digital:it"/>',
    ],
)
def test_marks_of_other_programs_are_read(about: str, tmp_path: Path) -> None:
    path = save_with(tmp_path / "theirs.png", PACKET.format(about))
    assert provenance_of(path) == Provenance("", "", "", "digital:it")


def test_a_packet_about_other_things_is_no_mark(tmp_path: Path) -> None:
    about = '<rdf:Description e:AISystemUsed="something"/>'
    assert provenance_of(save_with(tmp_path / "theirs.png", PACKET.format(about))) is None


@pytest.mark.parametrize(
    "packet",
    [
        "no XML",
        MADE.packet().decode()[:-60],
        MADE.packet().decode().replace("rdf:RDF>", "rdf:RDF", 1),
        "<!DOCTYPE x [<!ENTITY a 'aaaa'>]><x>&a;</x>",
    ],
    ids=["text", "cut", "tag", "entities"],
)
def test_a_damaged_packet_is_said_to_be_one(packet: str, tmp_path: Path) -> None:
    path = save_with(tmp_path / "broken.png", packet)
    with pytest.raises(BrokenMark, match="treat the picture as one of unknown origin"):
        provenance_of(path)


def test_a_packet_behind_the_pixels_is_found(photo: np.ndarray, tmp_path: Path) -> None:
    write_picture(tmp_path / "out.png", photo, MADE)
    data = (tmp_path / "out.png").read_bytes()
    start = data.index(b"iTXt") - 4
    end = start + 12 + int.from_bytes(data[start : start + 4], "big")
    tail = data.index(b"IEND") - 4
    moved = data[:start] + data[end:tail] + data[start:end] + data[tail:]
    (tmp_path / "moved.png").write_bytes(moved)
    assert provenance_of(tmp_path / "moved.png") == MADE


def test_what_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(UnreadablePhoto, match="there is no picture"):
        provenance_of(tmp_path / "missing.png")
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(UnreadablePhoto, match="no PNG, JPEG or WebP"):
        provenance_of(tmp_path / "text.png")
    with pytest.raises(UnreadablePhoto, match="cannot be opened"):
        provenance_of(tmp_path)
    Image.new("RGB", (64, 64)).save(tmp_path / "half.png")
    whole = (tmp_path / "half.png").read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnreadablePhoto, match="damaged or cannot be opened"):
        provenance_of(tmp_path / "half.png")


@given(st.text(), st.text())
def test_any_text_makes_a_packet_that_can_be_read(system: str, version: str) -> None:
    packet = Provenance(system, version).packet()
    ElementTree.fromstring(packet)
    found = Provenance.of_packet(packet)
    assert found is not None and found.source_type == EDITED_BY_A_MODEL
    if re.fullmatch(r"[ -~]*", system):
        assert found.system == system.strip()

"""The mark of a generated picture: what its file says about how it was made, as an XMP packet.

The words are those of the IPTC Photo Metadata Standard 2025.1 (https://iptc.org/standards/
photo-metadata), so that other programs understand them.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from xml.etree import ElementTree

from PIL import Image, PngImagePlugin, UnidentifiedImageError

from expr_lib import __version__
from expr_lib.errors import BrokenMark, UnreadablePhoto

EDITED_BY_A_MODEL = (
    "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
)
"""IPTC's term for a photo that was "edited using generative AI". Its neighbour
trainedAlgorithmicMedia is for pictures that a model has made anew; ours begin with a photo, and
show the person in it."""
MARKED_FORMATS = ("PNG", "JPEG", "WEBP")
"""Picture formats that are written with a mark; in others it is left out."""

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_XMP = "http://ns.adobe.com/xap/1.0/"
_META = "adobe:ns:meta/"
_PREFIXES = {"x": _META, "rdf": _RDF, "Iptc4xmpExt": _IPTC, "xmp": _XMP}
_NAMES = {
    "source_type": f"{{{_IPTC}}}DigitalSourceType",
    "software": f"{{{_XMP}}}CreatorTool",
    "system": f"{{{_IPTC}}}AISystemUsed",
    "version": f"{{{_IPTC}}}AISystemVersionUsed",
}
# what XML 1.0 cannot hold, not even escaped
_IMPOSSIBLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Provenance:
    """How a picture was made, as its file says; anybody can write or remove it.

    system       what painted it (AISystemUsed), such as "the paper's model"
    version      of it (AISystemVersionUsed): the run and a hash of the weights
    software     program that wrote the file, and its version (CreatorTool)
    source_type  term of IPTC's Digital Source Type vocabulary, an address

    An empty text stands for what the file does not say.
    """

    system: str = ""
    version: str = ""
    software: str = f"expr_lib {__version__}"
    source_type: str = EDITED_BY_A_MODEL

    def packet(self) -> bytes:
        """The XMP packet (UTF-8) that says so; characters that XML cannot hold become "?"."""
        for prefix, uri in _PREFIXES.items():
            ElementTree.register_namespace(prefix, uri)
        root = ElementTree.Element(f"{{{_META}}}xmpmeta")
        outer = ElementTree.SubElement(root, f"{{{_RDF}}}RDF")
        about = ElementTree.SubElement(outer, f"{{{_RDF}}}Description", {f"{{{_RDF}}}about": ""})
        for field, name in _NAMES.items():
            if text := _IMPOSSIBLE.sub("?", getattr(self, field)):
                ElementTree.SubElement(about, name).text = text
        ElementTree.indent(root)
        # the id is the same in every packet; Part 1 of the XMP specification gives it
        start, end = '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>', '<?xpacket end="w"?>'
        text = ElementTree.tostring(root, encoding="unicode")
        return f"{start}\n{text}\n{end}".encode()

    @classmethod
    def of_packet(cls, packet: bytes) -> Self | None:
        """What an XMP packet says; None when it names no source type. Raises ValueError for a
        damaged one."""
        if re.search(rb"<!(DOCTYPE|ENTITY)", packet, re.IGNORECASE):
            raise ValueError("it declares a document type, which no XMP packet does")
        try:
            root = ElementTree.fromstring(packet.strip(b"\x00 \t\r\n"))
        except ElementTree.ParseError as error:
            raise ValueError(str(error)) from None
        found = {field: _property(root, name) for field, name in _NAMES.items()}
        return cls(**found) if found["source_type"] else None


def _property(root: ElementTree.Element, name: str) -> str:
    """A simple property in any of the three ways in which XMP may write it; empty without it."""
    for about in root.iter(f"{{{_RDF}}}Description"):
        if name in about.attrib:
            return about.attrib[name].strip()
        if (element := about.find(name)) is not None:
            return (element.get(f"{{{_RDF}}}resource") or element.text or "").strip()
    return ""


def mark_options(picture_format: str, provenance: Provenance) -> dict[str, Any]:
    """Options of Pillow's `save` that put a mark into the file; none for a format without one."""
    if picture_format not in MARKED_FORMATS:
        return {}
    packet = provenance.packet()
    if picture_format != "PNG":
        return {"xmp": packet}
    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt("XML:com.adobe.xmp", packet.decode())
    return {"pnginfo": chunks}


def provenance_of(path: Path) -> Provenance | None:
    """What a picture file (PNG, JPEG or WebP) says about how it was made.

    returns  None when it says nothing, which most files do, generated or not
    raises   UnreadablePhoto when there is no such picture; BrokenMark when it says something that
             cannot be read
    """
    path = Path(path)
    try:
        with Image.open(path, formats=MARKED_FORMATS) as image:
            if image.format == "PNG":
                image.load()  # a packet may stand behind the pixels
            packet = image.info.get("xmp")
    except FileNotFoundError:
        raise UnreadablePhoto(
            f"there is no picture {path}; check the spelling of the path"
        ) from None
    except UnidentifiedImageError:
        raise UnreadablePhoto(
            f"{path} is no PNG, JPEG or WebP, and only these are read for a mark"
        ) from None
    except Exception as error:  # as in read_photo, Pillow's decoders raise many kinds
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UnreadablePhoto(f"{path} is damaged or cannot be opened ({reason})") from error
    if not packet:
        return None
    try:
        return Provenance.of_packet(packet.encode() if isinstance(packet, str) else packet)
    except ValueError as error:
        raise BrokenMark(
            f"{path} holds an XMP packet that cannot be read ({error}); what it said about its "
            "origin is lost, so treat the picture as one of unknown origin"
        ) from None

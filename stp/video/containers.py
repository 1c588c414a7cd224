"""Signs, in a container's own bytes and from its reader, of a file that breaks off or has holes."""

import os

# Words of FFmpeg's readers about bytes that are not where the container says. Other errors of theirs do no harm.
HOLES = (
    "as first byte of an EBML number",
    "ff asf skip 0 (unknown stream)",
    "freeing incomplete packet",
    "Invalid repeated frame header OBU",
    "Packet mismatch",
)
# Codecs, by FFmpeg's names, of which every packet is a frame. Others have packets that show nothing.
FRAME_A_PACKET = frozenset(
    {"ffv1", "flv", "h263", "huffyuv", "mjpeg", "mpeg1video", "mpeg2video", "msmpeg4v2", "msmpeg4", "wmv1", "wmv2"}
)
TRANSPORT_PACKETS = (188, 192, 204)  # bytes of a packet of a transport stream, which declares no size
ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")  # GUID of the object that describes the file
ASF_SIZE, ASF_FLAGS, ASF_BROADCAST = 40, 88, 1  # places in that object, and the flag by which it declares no size
HEAD = 2**16  # bytes in which a header is looked for


def breaks_off(path: str, container: str) -> bool:
    """True if a file is shorter than its header declares, or ends within a packet; `container` is FFmpeg's name."""
    size = os.path.getsize(path)
    if container == "mpegts":
        return all(size % packet for packet in TRANSPORT_PACKETS)
    with open(path, "rb") as file:
        head = file.read(HEAD)
    declared = 0  # not declared, as by a recorder that was switched off, or a stream
    if container == "avi":
        declared = int.from_bytes(head[4:8], "little")  # of what follows; files of several parts declare the first
    elif container == "asf" and (place := head.find(ASF_FILE)) >= 0:
        flags = int.from_bytes(head[place + ASF_FLAGS : place + ASF_FLAGS + 4], "little")
        if not flags & ASF_BROADCAST:
            declared = int.from_bytes(head[place + ASF_SIZE : place + ASF_SIZE + 8], "little")
    return size < declared


def hole(line: str) -> bool:
    """True if a line of a container's reader says that bytes are missing or wrong within the file."""
    return any(words in line for words in HOLES)

"""Fields as JPEG images: an RGB frame as a colour image, a flow field as two grey images for x and y (as in TSN)."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torchvision.io import ImageReadMode, decode_jpeg, encode_jpeg  # type: ignore[import-untyped]

from stp.errors import UserError

RGB_CHANNELS = 3


def images_of_field(channels: int) -> int:
    """Number of JPEG images that hold one field: one colour image, or a grey image for each channel."""
    return 1 if channels == RGB_CHANNELS else channels


def encode_fields(fields: np.ndarray, quality: int) -> list[np.ndarray]:
    """The JPEG images of fields (n, C, H, W) uint8 in their order, each uint8 (bytes,); quality is 1..100."""
    count, channels, height, width = fields.shape
    each = images_of_field(channels)
    planes = torch.tensor(fields).reshape(count * each, channels // each, height, width)
    return [encode_jpeg(plane, quality).numpy() for plane in planes]


class JpegFields:
    """A clip's fields (T, C, H, W) uint8, decoded when they are indexed; read-only and thread-safe.

    It is indexed like an array, and only the fields that the first index chooses are decoded. Indexing raises a
    UserError if one of them does not decode.
    """

    def __init__(self, data: np.ndarray, ends: np.ndarray, shape: tuple[int, ...], name: str) -> None:
        """`data`: all images, uint8 (bytes,); `ends`: where each of them ends in it, int64 (images,).

        `name` names the file and the clip in errors.
        """
        self._data, self._ends, self._name = data, ends, name
        self.shape = shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        first, *others = key if isinstance(key, tuple) else (key,)
        numbers = np.arange(len(self))[first]
        fields = np.empty((*numbers.shape, *self.shape[1:]), np.uint8)
        for place, number in np.ndenumerate(numbers):
            fields[place] = self._decode(int(number))
        return fields[(slice(None),) * numbers.ndim + tuple(others)]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[t] for t in range(len(self)))

    def _decode(self, number: int) -> np.ndarray:
        """Field `number`, (C, H, W); UserError if one of its images is damaged."""
        each = images_of_field(self.shape[1])
        mode = ImageReadMode.RGB if self.shape[1] == RGB_CHANNELS else ImageReadMode.GRAY
        planes = []
        for image in range(number * each, (number + 1) * each):
            begin = self._ends[image - 1] if image else 0
            try:
                planes.append(decode_jpeg(torch.from_numpy(self._data[begin : self._ends[image]].copy()), mode))
            except RuntimeError as error:
                raise self._damaged(number, str(error)) from None
            if planes[-1].shape[1:] != self.shape[2:]:
                raise self._damaged(number, f"its size is {tuple(planes[-1].shape[1:])}, not {self.shape[2:]}")
        field: np.ndarray = torch.cat(planes).numpy()
        return field

    def _damaged(self, number: int, reason: str) -> UserError:
        return UserError(
            f"{self._name}, field {number}: a damaged JPEG image ({reason}); remove the file and run again"
        )

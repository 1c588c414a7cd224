"""The README's pictures, made of the demo's results: docs/images/*.png, small enough for a repository.

python docs/pictures.py     # or: make pictures
"""

from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
WIDTHS = {  # pixels
    "figures/examples/positive__positive_a00_000.png": 1440,
    "figures/figure3.png": 1000,
    "confusion/rgb+of+wof_baseline.png": 880,
    "confusion/rgb+of+wof_3-level.png": 880,
}


def main() -> None:
    folder = ROOT / "docs/images"
    folder.mkdir(exist_ok=True)
    for name, width in WIDTHS.items():
        with Image.open(ROOT / "results" / name) as image:
            height = round(width * image.height / image.width)
            small = image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
        small.save(folder / Path(name).name, optimize=True)


if __name__ == "__main__":
    main()

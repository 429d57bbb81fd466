"""Write the reference pages that differ from what the code says now."""

import sys

from docs.generate.pages import FOLDER, pages


def main() -> None:
    """Write them, and remove pages that nothing makes any more."""
    made = pages()
    FOLDER.mkdir(exist_ok=True)
    for name, text in made.items():
        path = FOLDER / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote docs/reference/{name}\n")
    for path in (*FOLDER.glob("*.md"), *FOLDER.glob("*.json")):
        if path.name not in made:
            path.unlink()
            sys.stdout.write(f"removed docs/reference/{path.name}\n")


if __name__ == "__main__":
    main()

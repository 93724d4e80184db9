"""The same case by other names: each function, class, variable and file of its program is called something else.

Lines stay where they are. Arguments and attributes keep their names: libraries call them, too.
"""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path


def rename_files(folder: Path) -> dict[str, str]:
    """Renames the Python files of a folder, and what they call things. Returns the new names by the old ones."""
    sources = {path.stem: path for path in sorted(folder.glob("*.py"))}
    files = {stem: f"m{number}" for number, stem in enumerate(sources)}
    texts = {stem: path.read_text() for stem, path in sources.items()}
    names = {name for text in texts.values() for name in _find_own(ast.parse(text))}
    new = files | {name: f"n{number}" for number, name in enumerate(sorted(names - set(files)))}
    for stem, path in sources.items():
        path.unlink()
        path.with_stem(files[stem]).write_text(_rename(texts[stem], new, set(files)))
    return {f"{old}.py": f"{now}.py" for old, now in files.items()}


def _find_own(tree: ast.Module) -> set[str]:
    """Names that are the program's alone: what it binds, without what others may ask for by name."""
    own: set[str] = set()
    kept: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.Name(id=name, ctx=ast.Store()):
                own.add(name)
            case ast.ClassDef(name=name, body=body):
                own.add(name)
                kept |= {one.name for one in body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}
                kept |= {name.id for one in body for name in _find_targets(one)}
            case ast.arg(arg=name) | ast.keyword(arg=str(name)):
                kept.add(name)
            case ast.alias(name=name, asname=other):
                kept.add(other or name)
    return {name for name in own - kept if not name.startswith("__")}


def _find_targets(node: ast.stmt) -> list[ast.Name]:
    """The attributes that a statement of a class body makes."""
    return [one for one in node.targets if isinstance(one, ast.Name)] if isinstance(node, ast.Assign) else []


def _rename(text: str, new: dict[str, str], files: set[str]) -> str:
    """The text with other names; a string that is a name, like a thread's, gets the other name, too."""
    changes: list[tuple[int, int, int, str]] = []
    before = ["", ""]
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        is_foreign = before[1] == "." and before[0] not in files
        bare = token.string.strip("\"'")
        if token.type == tokenize.NAME and token.string in new and not is_foreign:
            changes.append((*token.start, token.end[1], new[token.string]))
        elif token.type == tokenize.STRING and bare in new and token.string in (f'"{bare}"', f"'{bare}'"):
            changes.append((*token.start, token.end[1], f'"{new[bare]}"'))
        before = [before[1], token.string]
    lines = text.splitlines(keepends=True)
    for row, begin, end, name in reversed(changes):
        lines[row - 1] = lines[row - 1][:begin] + name + lines[row - 1][end:]
    return "".join(lines)

"""House rules that no off-the-shelf linter knows; `python scripts/house_rules.py [ROOT]` exits 1 if one is broken.

Each rule is one function from a module's syntax tree to findings; a finding says what to do.
"""

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

MAX_LINES = 400
# Names in the first place of a repository function: the transaction's cursor, or the object itself.
FIRST = {"self", "cls", "tx", "db"}
LAZY_IMPORTS = ("cli/", "__init__.py", "core/registry.py")
BROAD_EXCEPT = ("server/", "processes/worker.py")
GENERATED = "storage/migrations/versions/"  # written from the tables, and never edited
FORBIDDEN_CALLS = {"eval", "exec", "compile"}
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal"}


class Module(NamedTuple):
    """One file; `place` is its path below src/mooring (or below the root for the rest)."""

    path: Path
    place: str
    tree: ast.Module
    lines: list[str]


Finding = tuple[int, str]
Rule = Callable[[Module], Iterator[Finding]]


def has_a_docstring(module: Module) -> Iterator[Finding]:
    if ast.get_docstring(module.tree) is None:
        yield 1, "no module docstring: say in a sentence what the file is for"


def is_short(module: Module) -> Iterator[Finding]:
    if len(module.lines) > MAX_LINES and not module.place.startswith(GENERATED):
        yield (
            MAX_LINES + 1,
            f"{len(module.lines)} lines, {MAX_LINES} at most: split it (a repository.py becomes a package)",
        )


def imports_at_the_top(module: Module) -> Iterator[Finding]:
    if module.place.startswith(LAZY_IMPORTS[0]) or module.place in LAZY_IMPORTS[1:]:
        return
    for function in functions(module.tree):
        for node in ast.walk(function):
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield (
                    node.lineno,
                    "an import inside a function: move it to the top (allowed in cli, registry, public face)",
                )


def catches_narrowly(module: Module) -> Iterator[Finding]:
    if module.place.startswith(BROAD_EXCEPT[0]) or module.place in BROAD_EXCEPT[1:]:
        return
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.ExceptHandler) or not is_broad(node.type) or passes_on(node):
            continue
        if "# edge:" not in nearby(module, node.lineno):
            yield (
                node.lineno,
                "catches Exception: name what can go wrong, or mark a true edge with `# edge: why` on the line",
            )


def runs_no_text_as_code(module: Module) -> Iterator[Finding]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS:
                yield node.lineno, f"{node.func.id}(): data is never run as code; parse it"
            for keyword in node.keywords:
                if keyword.arg == "shell" and not (
                    isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                ):
                    yield node.lineno, "shell=…: pass a list of arguments and no shell"
            if name_of(node.func) in ("os.system", "os.popen"):
                yield node.lineno, f"{name_of(node.func)}(): use subprocess with a list of arguments"
        elif isinstance(node, ast.Import | ast.ImportFrom):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            for name in modules:
                if name.split(".")[0] in FORBIDDEN_MODULES:
                    yield node.lineno, f"imports {name}: it runs code on load; store JSON or msgspec"


def belongs_to_a_project(module: Module) -> Iterator[Finding]:
    """Repository functions only: SQL without a project is SQL over everybody's data."""
    parts = Path(module.place).parts
    if "repository.py" not in parts and "repository" not in parts[:-1]:
        return
    for function in public_functions(module.tree):
        is_marked = any(decorator_name(decorator) == "cross_project" for decorator in function.decorator_list)
        names = [argument.arg for argument in [*function.args.posonlyargs, *function.args.args]]
        if is_marked or not ("tx" in names or runs_sql(function)):
            continue
        while names and names[0] in FIRST:
            names.pop(0)
        if names[:1] != ["project_id"]:
            yield (
                function.lineno,
                f"{function.name}() does not take project_id first (after tx): add it, or @cross_project(reason)",
            )


RULES: tuple[Rule, ...] = (
    has_a_docstring,
    is_short,
    imports_at_the_top,
    catches_narrowly,
    runs_no_text_as_code,
    belongs_to_a_project,
)
# Tests, scripts and benchmarks are not the server: they need a docstring and a limit, and no text run as code.
ELSEWHERE: tuple[Rule, ...] = (has_a_docstring, is_short, runs_no_text_as_code)


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def public_functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Of the module and of its public classes; a leading underscore makes it the file's own business."""
    for node in tree.body:
        inner = node.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_") else [node]
        for item in inner:
            if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and not item.name.startswith("_"):
                yield item


def runs_sql(function: ast.AST) -> bool:
    """Whether it calls `execute`, `one` or `all` of a transaction; a mapper of rows to data does not."""
    return any(
        isinstance(node, ast.Attribute) and node.attr in ("execute", "one", "all") and name_of(node.value) == "tx"
        for node in ast.walk(function)
    )


def decorator_name(node: ast.expr) -> str:
    return name_of(node.func if isinstance(node, ast.Call) else node).rpartition(".")[2]


def name_of(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def is_broad(kind: ast.expr | None) -> bool:
    """A bare except, Exception, BaseException, or a tuple with one of them."""
    if kind is None:
        return True
    if isinstance(kind, ast.Tuple):
        return any(is_broad(item) for item in kind.elts)
    return name_of(kind) in ("Exception", "BaseException")


def passes_on(handler: ast.ExceptHandler) -> bool:
    """It cleans up and raises the same again: nothing is swallowed."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def nearby(module: Module, line: int) -> str:
    """The handler's line and the one after it, where a formatter may have put the comment."""
    return "\n".join(module.lines[line - 1 : line + 1])


def findings(root: Path) -> Iterator[str]:
    """Every finding as `path:line: what and what to do`."""
    source = root / "src" / "mooring"
    for folder in (source, root / "tests", root / "scripts", root / "benchmarks"):
        for path in sorted(folder.rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            base = source if folder == source else root
            module = Module(path, path.relative_to(base).as_posix(), ast.parse(text), text.splitlines())
            for rule in RULES if folder == source else ELSEWHERE:
                for line, message in rule(module):
                    yield f"{path.relative_to(root)}:{line}: {message}"


def main() -> int:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1]
    found = list(findings(root))
    for finding in found:
        print(finding)
    if found:
        print(f"{len(found)} house rules broken.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

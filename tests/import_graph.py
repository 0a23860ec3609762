"""The import graph of the project, read from the source: `python -m tests.import_graph [PACKAGE ...]`.

Prints one table a package: its parts (modules and subpackages), what each imports of the others, and its level.
Level 0 imports no other part; every other part is one level above the highest part that it imports.

All imports count: those at module level, inside functions, under `if TYPE_CHECKING:` and `import_module("...")` with a
constant name. A cycle that a lazy import hides is still a cycle.
"""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("training", "export", "service", "loadtest", "deploy", "benchmarks", "docs", "tests")

Graph = dict[str, set[str]]  # name -> names that it imports


def imports(file: Path, root: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the absolute dotted name of every import in a file."""
    package = file.relative_to(root).parent.parts
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), str(file))):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = [*package[: len(package) - level + 1], module] if level else [module]
                yield from ((node.lineno, ".".join([*filter(None, base), alias.name])) for alias in names)
            case ast.Call(
                func=ast.Name(id="__import__" | "import_module") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield node.lineno, name


def module_graph(root: Path = ROOT) -> Graph:
    """Return which modules of the project each module imports; a package's own module is `package.__init__`."""
    files = {
        ".".join(file.relative_to(root).with_suffix("").parts): file
        for package in PACKAGES
        for file in sorted((root / package).rglob("*.py"))
    }
    graph: Graph = {}
    for module, file in files.items():
        targets = (_module_of(target, files) for _, target in imports(file, root))
        graph[module] = {target for target in targets if target is not None} - {module}
    return graph


def _module_of(name: str, modules: Mapping[str, Path]) -> str | None:
    """Return the module that defines a dotted name, None if it is not of this project."""
    while name:
        if name in modules:
            return name
        if f"{name}.__init__" in modules:
            return f"{name}.__init__"
        name = name.rpartition(".")[0]
    return None


def parts_graph(modules: Graph, package: str = "") -> Graph:
    """Return the import graph between the parts of a package, by default between the top-level packages.

    An `__init__` that neither imports nor is imported is left out.
    """
    parts: Graph = defaultdict(set)
    for module, targets in modules.items():
        if part := part_of(module, package):
            parts[part] |= {other for target in targets if (other := part_of(target, package))} - {part}
    imported = set().union(*parts.values())
    return {part: found for part, found in parts.items() if found or part in imported or not part.endswith("__init__")}


def part_of(module: str, package: str) -> str | None:
    """Return the part of a package that a module belongs to, None if the module is not in the package."""
    prefix = f"{package}." if package else ""
    return prefix + module[len(prefix) :].partition(".")[0] if module.startswith(prefix) else None


def packages_of(modules: Graph) -> set[str]:
    """Return every package, nested ones included, and "" for the root of the repository."""
    return {"", *(".".join(names[:i]) for m in modules for names in [m.split(".")] for i in range(1, len(names)))}


def cycles(graph: Graph) -> list[list[str]]:
    """Return the strongly connected components of more than one node (Tarjan 1972), sorted."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in sorted(graph.get(node, ())):
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            component = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(component) > 1:
                found.append(sorted(component))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return sorted(found)


def levels(graph: Graph) -> dict[str, int]:
    """Return each node's level: the number of imports on the longest path to a node that imports nothing.

    Raises:
        ValueError: the graph has a cycle.
    """
    if found := cycles(graph):
        raise ValueError(f"no levels in a graph with cycles: {found}")
    level: dict[str, int] = {}

    def visit(node: str) -> int:
        if node not in level:
            level[node] = 1 + max((visit(target) for target in graph.get(node, ())), default=-1)
        return level[node]

    for node in graph:
        visit(node)
    return level


def table(graph: Graph) -> str:
    """Return a Markdown table of a graph without cycles, the highest level first."""
    level = levels(graph)
    lines = ["| level | part | imports |", "|---|---|---|"]
    for node in sorted(graph, key=lambda node: (-level[node], node)):
        targets = sorted(graph[node], key=lambda target: (-level[target], target))
        lines.append(f"| {level[node]} | {node} | {', '.join(target.rpartition('.')[2] for target in targets)} |")
    return "\n".join(lines) + "\n"


def main(packages: list[str]) -> int:
    modules = module_graph()
    if unknown := set(packages) - packages_of(modules):
        sys.stderr.write(f"error: no package of this project: {', '.join(sorted(unknown))}\n")
        return 1
    for package in packages or ["", "service"]:
        graph = parts_graph(modules, package)
        sys.stdout.write(f"## {package or 'Top-level packages'}\n\n")
        if found := cycles(graph):
            sys.stdout.write("".join(f"CYCLE: {' <-> '.join(cycle)}\n" for cycle in found) + "\n")
            continue
        arrows = sum(map(len, graph.values()))
        sys.stdout.write(f"{table(graph)}\n{len(graph)} parts, {arrows} imports between them, no cycle.\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""From a grammar in EBNF, in the form of Lark and llguidance, to the language of its texts.

A context-free language is cut to a regular one by a bound on how often a rule may be opened inside itself. Terminals are
languages like any other: a text need not be cut into them by longest match.
"""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from importlib import resources
from re import _constants as op
from re import _parser as _parser_of_patterns
from typing import Any

from diffusionlm.errors import suggestion
from diffusionlm.guidance import automata
from diffusionlm.guidance.automata import AutomatonTooLarge, Language, UnsupportedPattern
from diffusionlm.guidance.structured.net import Net, nothing
from diffusionlm.guidance.structured.schema_language import Form, SchemaCompiler
from diffusionlm.guidance.structured.schema_reading import check

MAX_CHARACTERS = 100_000
_REGEX_FLAGS = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE, "u": 0}
# a text, a pattern or a comment is passed over, so that what looks like %json in it is left alone
_JSON = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|#[^\n]*|/(?:\\.|[^/\\\n])+/|(?P<json>%json)\s*(?=\{)')
_ANCHORS = {op.AT_BEGINNING: 0, op.AT_BEGINNING_STRING: 0, op.AT_END: -1, op.AT_END_STRING: -1}  # where each may stand
_TEACHING = (  # what is found at the place of an error, and what to write there
    (r"['\u2018\u2019\u201c\u201d]", 'a text stands between straight double quotes: "text"'),
    (r"::?=|=", "a rule is written name: ..."),
    (r"\{", 'counts are written "a" ~ 2..3, what may be left out "a"? or ["a"]'),
    (r"<", "names stand without < >"),
    (r"/\*", "comments begin with //"),
    (r"&|~", "a rule cannot be the intersection or the complement of others; combine two constraints instead"),
    (r",|;", "parts of a rule follow one another with blanks between them, and a rule ends with its line"),
    (r"[A-Z]\w*[a-z]|[a-z]\w*[A-Z]", "names of rules are in lower case, of terminals in upper case"),
    (r"%\w+", "of the directives there are %ignore, %import common.NAME and %json"),
    (r"\"", "a text ends with a double quote on its own line"),
)
_HEADER = re.compile(r"\A\s*%llguidance\s*\{[^{}]*\}")
_OWN_COMMON = {"ESCAPED_STRING": r'"(?:[^"\\\n]|\\.)*"', "_STRING_INNER": r".*"}


class UnsupportedGrammar(ValueError):
    """A grammar is not valid, or asks for something no finite automaton can hold; says where."""


def grammar_language(text: str, start: str = "start", depth: int = 3) -> Language:
    """The texts of a grammar.

    Args:
        text: the grammar.
        start: the rule that a whole text follows.
        depth: how often a rule may be opened inside itself.

    Raises:
        UnsupportedGrammar: naming the line or the rule.
        AutomatonTooLarge: naming the rule.
    """
    try:
        return _Grammar(text, depth).language(start)
    except RecursionError:
        raise UnsupportedGrammar(
            "The grammar is nested too deeply: fewer brackets inside one another, or fewer rules on the way from the first to "
            "the last."
        ) from None


class _Grammar:
    def __init__(self, text: str, depth: int) -> None:
        self.depth = depth
        self.rules: dict[str, Any] = {}
        self.terminals: dict[str, Any] = {}
        self.known: dict[str, Language] = {}
        self.ignored: list[Any] = []
        self._made: dict[Any, Language] = {}
        for item in _parsed(self._without_schemas(text)).children:
            self._take(item)
        self._check_names()
        self._used = {name: _names_in(body) for name, body in self.rules.items()}
        self._recursive = {name for name in self.rules if name in self._reach(name)}

    def _without_schemas(self, text: str) -> str:
        """The grammar with each ``%json {...}`` of llguidance replaced by the name of a terminal."""
        text, at = _HEADER.sub("", text.removeprefix("\ufeff")), 0
        while match := _JSON.search(text, at):
            if not match["json"]:
                at = match.end()
                continue
            try:
                schema, end = json.JSONDecoder().raw_decode(text, match.end())
            except ValueError as error:
                raise UnsupportedGrammar(f"The grammar has %json with a schema that is no JSON: {error}.") from None
            check(schema)
            at = match.start()
            name = f"JSON_SCHEMA_{'ABCDEFGHIJKLMNOPQRSTUVWXYZ'[len(self.known) % 26]}{len(self.known)}"
            self.known[name] = SchemaCompiler(schema, Form()).compile()
            text = f"{text[: match.start()]}{name}{text[end:]}"
        return text

    def _take(self, item: Any) -> None:
        if item.data in ("rule", "token"):
            name, parameters, *_, body = item.children
            if any(child is not None for child in parameters.children):
                raise UnsupportedGrammar(
                    f"The rule {name} of the grammar has parameters, which are not supported; write it out."
                )
            home = self.rules if item.data == "rule" else self.terminals
            if _bare(name) in home:
                raise UnsupportedGrammar(f"The grammar defines {_bare(name)!r} twice.")
            home[_bare(name)] = body
        elif item.data == "ignore":
            self.ignored.append(item.children[0])
        elif item.data in ("import", "multi_import"):
            path = [str(child.children[0]) for child in item.children[0].children if hasattr(child, "children")]
            names = [path.pop()] if item.data == "import" else [str(n.children[0]) for n in item.children[1].children]
            if path != ["common"]:
                raise UnsupportedGrammar(
                    f"The grammar imports from {'.'.join(path) or '.'!r}; only %import common.NAME is there."
                )
            renamed = item.children[1] if item.data == "import" and len(item.children) > 1 else None
            for name in names:
                own = _bare(renamed.children[0]) if renamed is not None else name
                self.known[own] = _common(name)
        else:
            raise UnsupportedGrammar(f"The grammar uses %{item.data.partition('_')[0]}, which is not supported.")

    def _check_names(self) -> None:
        """Refuses names that nothing defines, also where no text would ask for them."""
        known = {*self.rules, *self.terminals, *self.known}
        for name, body in (*self.rules.items(), *self.terminals.items(), *(("%ignore", node) for node in self.ignored)):
            for used in sorted(_names_in(body)):
                if used not in known:
                    hint = suggestion(used, known)
                    raise UnsupportedGrammar(f"The grammar uses {used!r} in {name}, which it does not define; {hint}")
                if used in self.rules and name not in self.rules:
                    raise UnsupportedGrammar(
                        f"The grammar uses the rule {used!r} in {name}; only rules are made of rules, so write {used!r} as a "
                        "terminal (upper case)."
                    )

    def _reach(self, name: str) -> set[str]:
        seen: set[str] = set()
        waiting = [name]
        while waiting:
            inner = self._used.get(waiting.pop(), frozenset())
            waiting += inner - seen
            seen |= inner
        return seen

    def language(self, start: str) -> Language:
        """The texts of a rule, as a whole."""
        if not isinstance(start, str) or start not in self.rules:
            hint = suggestion(str(start), self.rules)
            raise UnsupportedGrammar(f"The grammar has no rule {start!r} to start from; {hint}")
        found = self._rule(start, Counter())
        if self.ignored:
            net = Net()
            net.language(self._ignoring(net, net.start), found, net.end)
            found = net.determinised("the grammar")
        if found.is_empty():
            raise UnsupportedGrammar(
                f"No text follows the grammar: from {start!r}, every way opens a rule inside itself more than "
                f"depth={self.depth} times, or none ends."
            )
        return found

    def _rule(self, name: str, opened: Counter[str]) -> Language:
        if name in self._recursive:
            if opened[name] >= self.depth:
                return nothing(name)
            opened = opened + Counter([name])
        key = (name, frozenset(opened.items()))
        if key not in self._made:
            net = Net()
            net.skip(self._build(net, self.rules[name], net.start, lambda n: self._named(n, opened), True), net.end)
            try:
                self._made[key] = net.determinised(f"rule {name}")
            except AutomatonTooLarge as error:
                raise AutomatonTooLarge(
                    f"The rule {name!r} of the grammar is too large at depth={self.depth}. {error}"
                ) from error
        return self._made[key]

    def _named(self, name: str, opened: Counter[str]) -> tuple[Language, bool]:
        """The texts of a name in a rule, and whether it is a terminal."""
        if name in self.rules:
            return self._rule(name, opened), False
        return self._terminal(name, ()), True

    def _terminal(self, name: str, inside: tuple[str, ...]) -> Language:
        if name in self.known:
            return self.known[name]
        if name in inside:
            raise UnsupportedGrammar(
                f"The terminal {name!r} of the grammar contains itself; make it a rule (lower case)."
            )
        net = Net()
        end = self._build(
            net, self.terminals[name], net.start, lambda n: (self._terminal(n, (*inside, name)), True), False
        )
        net.skip(end, net.end)
        self.known[name] = net.determinised(name)
        return self.known[name]

    def _build(
        self, net: Net, node: Any, here: int, named: Callable[[str], tuple[Language, bool]], in_rule: bool
    ) -> int:
        """Appends what a node of the parsed grammar says after ``here``; the state behind it."""

        def again(inner: Any, place: int) -> int:
            return self._build(net, inner, place, named, in_rule)

        def terminal(language: Language) -> int:
            end = net.language(here, language)
            return self._ignoring(net, end) if in_rule and self.ignored else end

        match node.data:
            case "expansions":
                there = net.state()
                for branch in node.children:
                    net.skip(again(branch, here), there)
                return there
            case "alias":
                return again(node.children[0], here)
            case "expansion":
                for inner in node.children:
                    here = again(inner, here)
                return here
            case "expr":
                return self._repeated(net, node, here, again)
            case "maybe":
                there = again(node.children[0], here)
                net.skip(here, there)
                return there
            case "literal":
                written = str(node.children[0])
                if written.startswith('"') and not written.endswith("i"):
                    end = net.text(here, ast.literal_eval(written))
                    return self._ignoring(net, end) if in_rule and self.ignored else end
                return terminal(_literal(written))
            case "literal_range":
                first, last = (ast.literal_eval(str(child)) for child in node.children)
                if len(first) != 1 or len(last) != 1 or first > last:
                    raise UnsupportedGrammar(
                        f"The grammar has the range {first!r}..{last!r}; it needs two characters in order."
                    )
                return terminal(automata.regex(f"[{re.escape(first)}-{re.escape(last)}]"))
            case "name":
                language, is_terminal = named(_bare(node.children[0]))
                return terminal(language) if is_terminal else net.language(here, language)
        raise UnsupportedGrammar(f"The grammar uses {node.data.replace('_', ' ')}, which is not supported.")

    def _repeated(self, net: Net, node: Any, here: int, again: Callable[[Any, int], int]) -> int:
        atom, *how = [child for child in node.children if child is not None]
        if not how:
            return again(atom, here)
        sign = str(how[0])
        if sign in ("?", "*", "+"):
            begin, there = net.state(), net.state()
            net.skip(here, begin)
            end = again(atom, begin)
            net.skip(end, there)
            if sign != "?":
                net.skip(end, begin)
            if sign != "+":
                net.skip(begin, there)
            return there
        least = int(how[0])
        most = int(how[1]) if len(how) > 1 else least
        if not 0 <= least <= most <= 1_000:
            raise UnsupportedGrammar(f"The grammar repeats ~ {least}..{most}; counts go from 0 to 1,000, in order.")
        for _ in range(least):
            here = again(atom, here)
        there = net.state()
        for _ in range(most - least):
            net.skip(here, there)
            here = again(atom, here)
        net.skip(here, there)
        return there

    def _ignoring(self, net: Net, here: int) -> int:
        """A state behind ``here`` after any number of texts that are to be ignored."""
        loop = net.state()
        net.skip(here, loop)
        for node in self.ignored:
            end = self._build(net, node, loop, lambda n: (self._terminal(n, ()), True), False)
            net.skip(end, loop)
        return loop


@lru_cache(maxsize=256)
def _literal(written: str) -> Language:
    if written.startswith("/"):
        pattern, _, flags = written[1:].rpartition("/")
        if unknown := set(flags) - set(_REGEX_FLAGS):
            raise UnsupportedGrammar(
                f"The grammar has the flag {min(unknown)!r} in {written}; the flags are i, m, s, x, u."
            )
        pattern, given = pattern.replace("\\/", "/"), sum(_REGEX_FLAGS[flag] for flag in set(flags))
        try:
            language = automata.regex(pattern, "matches", given)
            if _looks_around(list(_parser_of_patterns.parse(pattern, given))):
                raise UnsupportedGrammar(
                    f"The grammar has {written}, which looks at the text around it; leave out \\b and \\B, and ^ and $ but at "
                    "the ends of a whole pattern."
                )
            return language
        except UnsupportedPattern as error:
            raise UnsupportedGrammar(f"The grammar has a pattern that cannot be kept: {error}") from error
    caseless = written.endswith("i")
    text = ast.literal_eval(written[:-1] if caseless else written)
    return automata.regex(re.escape(text), "matches", re.IGNORECASE if caseless else 0)


def _looks_around(parts: list[Any]) -> bool:
    """Whether an assertion stands in a parsed pattern elsewhere than ^ at its beginning and $ at its end, which say nothing of
    a terminal."""
    for place, (kind, value) in enumerate(parts):
        if kind is op.AT and place - (len(parts) if _ANCHORS.get(value) == -1 else 0) != _ANCHORS.get(value):
            return True
    return any(kind is not op.AT and _has_assertion(value) for kind, value in parts)


def _has_assertion(value: Any) -> bool:
    if value is op.AT:
        return True
    return isinstance(value, list | tuple | _parser_of_patterns.SubPattern) and any(map(_has_assertion, value))


def _bare(name: Any) -> str:
    return str(name).lstrip("!?")


def _names_in(node: Any) -> frozenset[str]:
    """Names of the rules and terminals in a part of the parsed grammar."""
    return frozenset(_bare(tree.children[0]) for tree in node.iter_subtrees() if tree.data == "name")


@lru_cache(maxsize=1)
def _parser() -> Any:
    try:
        from lark import Lark
    except ImportError as error:
        raise ImportError(
            "Grammar needs lark, which is not installed; install the extra: pip install 'diffusionlm-toolkit[structured]'"
        ) from error
    source = (resources.files("lark") / "grammars" / "lark.lark").read_text(encoding="utf-8")
    for kept in ("expansions", "alias", "expansion", "expr", "value", "atom"):
        if kept not in ("value", "atom"):
            source = source.replace(f"?{kept}:", f"{kept}:")
    return Lark(source, parser="lalr", maybe_placeholders=False)


def _parsed(text: str) -> Any:
    if len(text) > MAX_CHARACTERS:
        raise UnsupportedGrammar(f"The grammar has {len(text):,} characters, at most {MAX_CHARACTERS:,} are compiled.")
    from lark.exceptions import UnexpectedInput

    parser = _parser()
    try:
        return parser.parse(text + "\n")
    except UnexpectedInput as error:
        shown = (
            error.get_context(text + "\n", span=30).strip().splitlines()[0]
            if error.pos_in_stream is not None
            else "its end"
        )
        raise UnsupportedGrammar(
            f"The grammar is not valid at line {error.line}, column {error.column}, near {shown!r}. "
            f"{_teaching(text, error.pos_in_stream)}"
        ) from None


def _teaching(text: str, place: int | None) -> str:
    """What to write at the place of an error."""
    line = text[text.rfind("\n", 0, place or 0) + 1 :].split("\n")[0]
    for found in (text[place:], line.lstrip()) if place is not None else ():
        for pattern, advice in _TEACHING:
            if re.match(pattern, found):
                return f"In Lark's form {advice}."
    return "Rules are written name: ..., as in Lark."


@lru_cache(maxsize=64)
def _common(name: str) -> Language:
    """A terminal of Lark's library ``common``."""
    if name in _OWN_COMMON:
        return automata.regex(_OWN_COMMON[name])
    grammar = _Grammar((resources.files("lark") / "grammars" / "common.lark").read_text(encoding="utf-8"), 1)
    if name not in grammar.terminals:
        raise UnsupportedGrammar(f"The grammar imports common.{name}; {suggestion(name, grammar.terminals)}")
    return grammar._terminal(name, ())

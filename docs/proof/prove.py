#!/usr/bin/env python3
"""Checks the proof of model.py with z3, and ends with 1 unless all is as it must be.

    prove.py            the proof, and the controls; about a minute
    prove.py -v         prints the runs that z3 finds, step by step
    prove.py -w DIR     also writes each query to DIR, for other solvers of SMT-LIB
    prove.py -without   which steps of the proof fail without each rule; some minutes

Needs Python 3.10 or later, and z3.
"""

import argparse
import ast
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import time

import model

OPTIONS = argparse.ArgumentParser(description="Checks the proof of the fencing tokens.")
OPTIONS.add_argument("-v", action="store_true", help="print the runs that are found")
OPTIONS.add_argument("-w", metavar="DIR", help="write each query to this directory")
OPTIONS.add_argument("-without", action="store_true", help="what fails without each rule")
OPTIONS.add_argument("-limit", type=int, default=60, help="seconds for a query")


# ------------------------------------------------------------------ From formulas to SMT-LIB


def split(head):
    """Takes "F(n)" apart: F, [n]."""
    name, args = re.match(r"(\w+)\((.*)\)$", head).groups()
    return name, args.split(",")


def sort(variable):
    return model.SORTS[variable[0].lower()]


CONSTANT_NAMES = {split(head)[0] for head in model.CONSTANTS}


class Translator:
    """Translates formulas. state and param are put behind the names of each kind."""

    COMPARE = {
        ast.Eq: "(= {0} {1})",
        ast.NotEq: "(not (= {0} {1}))",
        ast.Lt: "(less {0} {1})",
        ast.LtE: "(not (less {1} {0}))",
        ast.In: "(member {0} {1})",
    }

    def __init__(self, state="", param=""):
        self.state, self.param = state, param

    def formula(self, text):
        if "=>" in text:
            left, right = text.split("=>")
            return f"(=> {self.formula(left)} {self.formula(right)})"
        return self.term(ast.parse(text.strip(), mode="eval").body)

    def term(self, e):
        match e:
            case ast.Constant(value=bool()):
                return str(e.value).lower()
            case ast.Name():
                return e.id + self.param if e.id[0].isupper() and len(e.id) == 1 else e.id
            case ast.BoolOp():
                op = "and" if isinstance(e.op, ast.And) else "or"
                return f"({op} {' '.join(map(self.term, e.values))})"
            case ast.UnaryOp(op=ast.Not()):
                return f"(not {self.term(e.operand)})"
            case ast.IfExp():
                return f"(ite {self.term(e.test)} {self.term(e.body)} {self.term(e.orelse)})"
            case ast.Compare(left=ast.Tuple() as left, ops=[ast.Eq()], comparators=[right]):
                pairs = zip(left.elts, right.elts, strict=True)
                return "(and " + " ".join(f"(= {self.term(x)} {self.term(y)})" for x, y in pairs) + ")"
            case ast.Compare(ops=[op], comparators=[right]):
                return self.COMPARE[type(op)].format(self.term(e.left), self.term(right))
            case ast.Call(func=ast.Name(id="all" | "some" as quantifier), args=[variable, body]):
                bound = "forall" if quantifier == "all" else "exists"
                return f"({bound} (({variable.id} {sort(variable.id)})) {self.term(body)})"
            case ast.Call(func=ast.Name(id="implies"), args=[left, right]):
                return f"(=> {self.term(left)} {self.term(right)})"
            case ast.Call(func=ast.Name(id=name)):
                suffix = "" if name in CONSTANT_NAMES else self.state
                return f"({name}{suffix} {' '.join(map(self.term, e.args))})"
        raise ValueError(f"not a formula: {ast.unparse(e)}")


def closed(text, state=""):
    """The formula for all values of its free variables."""
    bound = set(re.findall(r"\b(?:all|some)\(([a-z]),", text))
    free = sorted(set(re.findall(r"\b[a-z]\b(?!\()", text)) - bound)
    body = Translator(state).formula(text)
    return f"(forall ({' '.join(f'({v} {sort(v)})' for v in free)}) {body})" if free else body


def denied(text, state=""):
    return f"(assert (not {closed(text, state)}))"


def declare(head, result, state=""):
    name, args = split(head)
    return f"(declare-fun {name}{state} ({' '.join(map(sort, args))}) {result})"


def define(head, result, term, state):
    name, args = split(head)
    return f"(define-fun {name}{state} ({' '.join(f'({a} {sort(a)})' for a in args)}) {result} {term})"


def initial(state):
    """Nothing has happened, and nobody has a lock. Registers and clocks are what they are."""
    return [define(h, s, "false", state) if s == "Bool" else declare(h, s, state)
            for h, s in model.STATE.items()]


def step(action, now, then, param=""):
    """The action is taken: its guard is true, and it makes the state `then` out of `now`."""
    translate = Translator(now, param)
    return ([f"(declare-const {p}{param} {sort(p)})" for p in action.params.split()]
            + [f"(assert {translate.formula(action.guard)})"]
            + [define(h, s, translate.formula(action.change.get(h, h)), then)
               for h, s in model.STATE.items()])


def any_number(rules):
    """Any number of nodes, attempts and so on."""
    lines = [f"(declare-sort {s} 0)" for s in dict.fromkeys(model.SORTS.values())]
    lines += ["(declare-fun member (Node Quorum) Bool)", "(declare-fun less (Token Token) Bool)"]
    lines += [declare(h, s) for h, s in model.CONSTANTS.items()]
    return lines + [f"(assert {closed(a)})" for r, a in model.AXIOMS if not r or r in rules]


def three_nodes(rules):
    """Three nodes, two attempts, one reservation. Without `meet` a node is a quorum."""
    quorums = {"Q12": ("N1", "N2"), "Q13": ("N1", "N3"), "Q23": ("N2", "N3")}
    if "meet" not in rules:
        quorums = {"Q12": ("N1",), "Q13": ("N3",), "Q23": ("N2",)}
    members = " ".join(f"(and (= q {q}) (= n {n}))" for q, nodes in quorums.items() for n in nodes)
    sorts = {"Node": "N1 N2 N3", "Attempt": "A1 A2", "Reservation": "R1", "Quorum": " ".join(quorums),
             "Owner": "O1 O2"}
    return [f"(declare-datatypes (({s} 0)) (({' '.join(f'({v})' for v in values.split())})))"
            for s, values in sorts.items()] + [
        "(define-sort Token () Int)",
        "(define-fun less ((x Int) (y Int)) Bool (< x y))",
        f"(define-fun member ((n Node) (q Quorum)) Bool (or {members}))",
        f"(define-fun id ((a Attempt)) Owner {'(ite (= a A1) O1 O2)' if 'ids' in rules else 'O1'})",
        declare("of(r)", "Attempt"),
    ]


# ------------------------------------------------------------------ Queries


class Query:
    """One question to z3: can all of this be true?"""

    def __init__(self, name, lines, values=()):
        self.name, self.lines, self.values = name, list(lines) + ["(check-sat)"], values
        if values:
            self.lines.append(f"(get-value ({' '.join(values)}))")

    def ask(self, limit):
        """Sets the verdict, and what z3 found for the values."""
        began = time.monotonic()
        out = subprocess.run(["z3", f"-T:{limit}", "-in"], input="\n".join(self.lines), text=True,
                             capture_output=True, check=False).stdout
        self.seconds = time.monotonic() - began
        self.verdict, _, rest = out.partition("\n")
        if "(error" in out and not (self.verdict == "unsat" and self.values and out.count("(error") == 1):
            self.verdict = out.strip()  # the only error to ignore is that there are no values
        self.found = dict(re.findall(r"\((\([^()]*\)|[^\s()]+) ([^\s()]+)\)", rest))
        return self

    def write(self, directory, number):
        name = re.sub("[^a-z0-9]+", "-", self.name.lower()).strip("-")
        with open(os.path.join(directory, f"{number:03d}-{name}.smt2"), "w", encoding="ascii") as f:
            f.write("\n".join(self.lines) + "\n")


def invariant(blocks):
    return model.INVARIANT | (model.BLOCK_INVARIANT if blocks else {})


def safety(blocks):
    return model.SAFETY | (model.BLOCK_SAFETY if blocks else {})


def proof(rules, blocks):
    """The queries of the proof by key: each must be unsat, for it asks for a counterexample."""
    base = any_number(rules)
    held = [declare(h, s) for h, s in model.STATE.items()]
    held += [f"(assert {closed(f)})" for f in invariant(blocks).values()]
    queries = {}
    for name, formula in invariant(blocks).items():
        queries["initially", name] = base + initial("") + [denied(formula)]
    for name, formula in safety(blocks).items():
        queries["", name] = base + held + [denied(formula)]
    for action, a in model.actions(rules, blocks, strict=False).items():
        after = base + held + step(a, "", "+")
        for name, formula in invariant(blocks).items():
            queries[action, name] = after + [denied(formula, "+")]
    return {key: Query(title(key), lines) for key, lines in queries.items()}


def title(key):
    action, name = key
    if action == "initially":
        return f"initially {name}"
    return f"{action} keeps: {name}" if action else f"the invariant implies: {name}"


def search(run, rules):
    """The query for a run: it must be sat, for it asks for an example."""
    acts = model.actions(rules, run.blocks, strict=True)
    steps = run.steps.split()
    lines, values = three_nodes(rules) + initial(".0"), []
    for n in ("N1", "N2", "N3"):
        lines.append(f"(assert (and (<= 0 (F.0 {n}) 9) (<= 0 (clock.0 {n}) 9)))")
        values += [f"(F.0 {n})", f"(clock.0 {n})"]
    for i, name in enumerate(steps):
        params = [f"{p}.{i}" for p in acts[name].params.split()]
        lines += step(acts[name], f".{i}", f".{i + 1}", f".{i}")
        lines += [f"(assert (<= 0 {p} 9))" for p in params if sort(p) == "Token"]
        values += params
    end = f".{len(steps)}"
    if run.without:
        lines.append(denied(safety(run.blocks)[run.violates], end))
    else:  # nor do the axioms and the invariant contradict one another
        goals = [run.violates] + [a for _, a in model.AXIOMS] + list(invariant(run.blocks).values())
        lines += [f"(assert {closed(g, end)})" for g in goals]
    return Query(f"run {run.without or 'as it is'} {run.violates}", lines, values)


def describe(run, query):
    """The steps of a run that was found."""
    acts = model.actions(set(model.RULES), run.blocks, strict=True)
    lines = ["F is " + " ".join(query.found[f"(F.0 {n})"] for n in ("N1", "N2", "N3")) + " at first"]
    for i, name in enumerate(run.steps.split()):
        params = [query.found.get(f"{p}.{i}", "any") for p in acts[name].params.split()]
        lines.append(f"{name}({', '.join(params)})")
    return lines


# ------------------------------------------------------------------ The checks


class Checker:
    def __init__(self, options):
        self.options, self.bad, self.asked = options, 0, []
        self.workers = concurrent.futures.ThreadPoolExecutor(os.cpu_count())

    def ask(self, queries):
        """Asks them all, side by side."""
        for q in queries:
            self.asked.append(q)
            if self.options.w:
                q.write(self.options.w, len(self.asked))
        return list(self.workers.map(lambda q: q.ask(self.options.limit), queries))

    def report(self, good, text, *more):
        self.bad += not good
        print("ok    " if good else "WRONG ", text, flush=True)
        for line in more:
            print("         ", line)

    def prove(self, blocks):
        began = time.monotonic()
        queries = self.ask(list(proof(set(model.RULES), blocks).values()))
        failed = [f"{q.name}: {q.verdict}" for q in queries if q.verdict != "unsat"]
        subject = ("tokens and blocks, an acquire carried out at most once" if blocks
                   else "tokens, an acquire carried out any number of times")
        self.report(not failed, f"proved: {subject}: {len(queries)} steps in"
                    f" {time.monotonic() - began:.0f} s", *failed)

    def controls(self):
        """Each rule is left out in turn: a run goes wrong then, and the proof fails."""
        every, queries = set(model.RULES), []
        for run in model.RUNS:
            rules = every - {run.without}
            queries.append(search(run, rules))
            if run.without:
                twin = search(run, every)
                twin.name += " with the rule"
                queries.append(twin)
            if run.breaks:
                queries.append(proof(rules, run.blocks)[run.breaks])
        answers = iter(self.ask(queries))
        for run in model.RUNS:
            found = next(answers)
            steps = describe(run, found) if self.options.v and found.verdict == "sat" else []
            if not run.without:
                self.report(found.verdict == "sat", f"as it is, a run: {run.steps}: {found.verdict}", *steps)
                continue
            number, text = model.RULES[run.without]
            self.report(found.verdict == "sat", f"without {number}, {text}: a run where"
                        f" \"{run.violates}\" is false: {found.verdict}", *steps)
            twin = next(answers)
            self.report(twin.verdict == "unsat", f"  the same run with the rule: {twin.verdict}")
            if run.breaks:
                broken = next(answers)
                self.report(broken.verdict == "sat", f"  without it \"{broken.name}\" is not proved:"
                            f" {broken.verdict}")
        without = {run.without for run in model.RUNS if run.breaks}
        self.report(without == every, f"{len(without)} of {len(every)} rules have a control",
                    *sorted(every - without))

    def without(self):
        for name, (number, text) in model.RULES.items():
            for blocks in (False, True):
                queries = self.ask(list(proof(set(model.RULES) - {name}, blocks).values()))
                failed = [f"{q.name}: {q.verdict}" for q in queries if q.verdict != "unsat"]
                print(f"without {number}, {text}, {'with' if blocks else 'no'} blocks:"
                      f" {len(failed)} steps fail", flush=True)
                for line in failed:
                    print("         ", line)


def main():
    options = OPTIONS.parse_args()
    if not shutil.which("z3"):
        sys.exit("prove.py needs z3 (Debian's package z3)")
    if options.w:
        os.makedirs(options.w, exist_ok=True)
    checker = Checker(options)
    if options.without:
        return checker.without()
    checker.prove(blocks=False)
    checker.prove(blocks=True)
    checker.controls()
    slowest = max(checker.asked, key=lambda q: q.seconds)
    print(f"{len(checker.asked)} queries, the slowest {slowest.seconds:.1f} s ({slowest.name});"
          f" {checker.bad} wrong")
    sys.exit(checker.bad > 0)


if __name__ == "__main__":
    main()

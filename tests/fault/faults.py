"""Sweeps of faults: which system calls a command makes, and the command again and again with one of them spoiled.

Injector  runs a command under tests/fault/inject.c
Sweep     one command, the places whose calls count, and how to put everything back before the next run
Tally     what was injected in this session, by verb and fault; printed at its end

A fault is a word: "kill" ends the whole command before the call, "kill one" the process alone that makes it, "short" halves a
read or a write, and the name of an error is what the call answers instead of being made.
"""

import collections
import dataclasses
import pathlib
import re
import shutil

KILLS = ("kill", "kill one")
# What can fail because a disk is full, or is said of something that was not made durable.
CHANGES = ("openat", "openat2", "mkdirat", "mkdir", "write", "pwrite64", "fsync", "fdatasync", "ftruncate", "linkat", "symlinkat",
           "rename", "renameat", "renameat2", "close", "unlinkat", "unlink", "chmod", "fchmod", "fchown")
PARTIAL = ("read", "pread64", "write", "pwrite64")
WRITTEN = ("write", "pwrite64", "fsync", "fdatasync", "linkat", "renameat", "renameat2", "rename")
CALLS_OF = {"short": PARTIAL, "EINTR": PARTIAL, "ENOSPC": CHANGES}


@dataclasses.dataclass
class Call:
    number: int
    name: str
    target: str

    def __str__(self):
        return f"{self.name} {self.number} on {self.target}"

    @property
    def kind(self):
        """Calls of one kind do the same to files that differ in their names."""
        return self.name, re.sub(r"[0-9a-fA-F]{6,}|\d+", "#", self.target)


class Tally:
    def __init__(self):
        self.count = collections.Counter()

    def add(self, verb, fault):
        self.count[verb, fault] += 1

    def of(self, verb):
        return sum(n for (v, _), n in self.count.items() if v == verb)

    def as_list(self):
        return [[verb, fault, n] for (verb, fault), n in self.count.items()]

    def merge(self, other):
        for verb, fault, n in other:
            self.count[verb, fault] += n

    def lines(self):
        if self.count:
            yield f"{sum(self.count.values())} faults injected"
        for verb in sorted({verb for verb, _ in self.count}):
            of = {fault: n for (v, fault), n in self.count.items() if v == verb}
            yield f"  {verb}: {self.of(verb)} (" + ", ".join(f"{fault} {of[fault]}" for fault in sorted(of)) + ")"


class Injector:
    """Runs commands of swift's binaries, or the same under the sanitizers, where something may be wrong inside of them."""

    def __init__(self, swift, sanitized, build):
        self.swift, self.sanitized = swift, sanitized
        self.program = swift.bin / "inject"
        shutil.copy2(pathlib.Path(build) / "tests/fault/inject", self.program)
        self.log = swift.make_directory(swift.root / "inject") / "log"

    def run(self, command, under, options=(), refuse=(), status=None, cwd=None, *, sanitized=False, program=False):
        """The result of the command, with its calls that counted, or the spoiled one, in .calls; program: it is none of ours."""
        self.log.unlink(missing_ok=True)
        args = [self.program, "--log", self.log, *options]
        for place in under:
            args += ["--under", place]
        for what in refuse:
            args += ["--refuse", what]
        runtime = self.sanitized if sanitized else self.swift
        # the leak checker cannot run under a tracer
        env = {"ASAN_OPTIONS": runtime.environment()["ASAN_OPTIONS"].replace("detect_leaks=1", "detect_leaks=0")}
        first = command[0] if program else runtime.bin / command[0].name
        result = runtime.run([*args, "--", first, *command[1:]], status=status, cwd=cwd, env=env)
        result.calls = []
        log = self.log.read_text(errors="replace") if self.log.exists() else ""
        for line in log.splitlines():
            number, name, *target = line.split(" ", 2)
            result.calls.append(Call(int(number), name, target[0] if target else ""))
        return result


def spread(items, most):
    """At most so many of them, evenly, the first and the last among them."""
    if most is None or len(items) <= most:
        return list(items)
    if most == 1:
        return [items[0]]
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def of_each_kind(calls, most):
    """At most so many calls of each kind, in their order."""
    kinds = collections.defaultdict(list)
    for call in calls:
        kinds[call.kind].append(call)
    return sorted((call for kind in kinds.values() for call in spread(kind, most)), key=lambda call: call.number)


class Sweep:
    """One command, every one of its calls that touch the places.

    prepare() makes everything as it was before the command; status is what the command ends with when nothing is spoiled;
    a_kind is how many calls of a kind are spoiled, most how many all in all; None is all. Another run may make fewer calls, since
    threads and servers are slower or faster: steady is the part of the faults that has to hit. program: the command is none of
    ours and starts it.
    """

    def __init__(self, injector, tally, verb, command, under, prepare, *, cwd=None, refuse=(), status=0, a_kind=None, most=None,
                 steady=0.85, program=False):
        self.injector, self.tally, self.verb, self.command = injector, tally, verb, command
        self.under, self.prepare, self.cwd, self.refuse = [str(p) for p in under], prepare, cwd, refuse
        self.status, self.a_kind, self.most, self.steady, self.program = status, a_kind, most, steady, program
        self.injected = 0

    def calls(self, names=None):
        """Those that the command makes when nothing is spoiled."""
        self.prepare()
        only = ("--calls", ",".join(names)) if names else ()
        return self.injector.run(self.command(), self.under, only, self.refuse, self.status, self.cwd,
                                 program=self.program).calls

    def run(self, fault, only=None):
        """A result for each spoiled run, with the call that was spoiled in .hit."""
        names = only or CALLS_OF.get(fault)
        chosen = spread(of_each_kind(self.calls(names), self.a_kind), self.most)
        assert chosen, f"{self.verb} makes no call that {fault} could spoil"
        how = {"kill": ("--kill", "all"), "kill one": ("--kill", "process"), "short": ("--short",)}.get(fault, ("--error", fault))
        before = self.injected
        for call in chosen:
            self.prepare()
            options = ["--nth", str(call.number), *how, *(("--calls", ",".join(names)) if names else ())]
            result = self.injector.run(self.command(), self.under, options, self.refuse, cwd=self.cwd,
                                       sanitized=fault not in KILLS, program=self.program)
            if not result.calls:
                continue
            (result.hit,) = result.calls
            self.injected += 1
            self.tally.add(self.verb, fault)
            yield result
        hit = self.injected - before
        assert hit >= self.steady * len(chosen), f"only {hit} of {len(chosen)} faults hit"

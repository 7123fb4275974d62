#!/usr/bin/env python3
"""clang-tidy on many files: eight of the same compile command at a time, since most of the time goes into the headers
that they share. What a batch complains about is looked at again file by file, and only that is a finding.

    script/tidy.py --folder BUILD --tidy clang-tidy --jobs N [--analyzer PATTERN] < files

--analyzer: files whose path matches are read one by one, with the path-sensitive analyzer. Exit 1 with findings.
"""
import argparse
import collections
import concurrent.futures
import json
import os
import re
import shlex
import subprocess
import sys

BATCH = 8
WITHOUT_ANALYZER = "-clang-analyzer-*"
OUR_SOURCES = "/(config|crypto|consensus|wire|kvstore|replica|client|sim|tests|bench)/[^.]*\\.(h|cpp)$"


def flags_of(entry):
    """The compile command without its compiler, its input and its output."""
    words = shlex.split(entry["command"])[1:]
    out = words.index("-o")
    del words[out : out + 2]
    return tuple(word for word in words if word not in ("-c", entry["file"]))


def batches_of(files, entries):
    groups = collections.defaultdict(list)
    for name in files:
        groups[(os.path.dirname(name), flags_of(entries[name]))].append(name)
    for (_, flags), names in sorted(groups.items()):
        for first in range(0, len(names), BATCH):
            yield flags, names[first : first + BATCH]


class Tidy:
    def __init__(self, options):
        self.options = options
        self.scratch = os.path.join(options.folder, "tidy")
        os.makedirs(self.scratch, exist_ok=True)

    def single(self, name, checks):
        command = [self.options.tidy, "-p", self.options.folder, "--quiet", name] + checks
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
        return "" if done.returncode == 0 else f"{done.stdout}{name}: clang-tidy ended with {done.returncode}\n"

    def style(self, number, flags, names):
        """What clang-tidy says of some files, without the analyzer."""
        checks = [f"--checks={WITHOUT_ANALYZER}"]
        if len(names) > 1:
            source = os.path.join(self.scratch, f"batch_{number}.cpp")
            with open(source, "w", encoding="utf-8") as file:
                file.writelines(f'#include "{name}"\n' for name in names)
            # The list of files includes sources, which is the point of it; warnings are the build's business.
            command = [self.options.tidy, "--quiet", f"--checks={WITHOUT_ANALYZER},-bugprone-suspicious-include",
                       f"--header-filter={OUR_SOURCES}", source, "--", *flags, "-w"]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
            if done.returncode == 0:
                return ""
            said = next((line for line in done.stdout.split("\n") if "error:" in line), "it does not compile")
            print(f"  one by one: {len(names)} files from {os.path.relpath(names[0])}, because {said}", flush=True)
        return "".join(self.single(name, checks) for name in names)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", required=True)
    parser.add_argument("--tidy", required=True)
    parser.add_argument("--jobs", type=int, required=True)
    parser.add_argument("--analyzer")
    options = parser.parse_args()

    with open(os.path.join(options.folder, "compile_commands.json"), encoding="utf-8") as file:
        entries = {entry["file"]: entry for entry in json.load(file)}
    files = [name for name in sys.stdin.read().split("\n") if name in entries]
    analysed = [name for name in files if options.analyzer and re.search(options.analyzer, name)]
    batches = list(batches_of([name for name in files if name not in set(analysed)], entries))
    print(f"  clang-tidy on {len(files)} files, {len(analysed)} of them with the analyzer", flush=True)

    tidy = Tidy(options)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        work = [pool.submit(tidy.single, name, []) for name in analysed]
        work += [pool.submit(tidy.style, number, *batch) for number, batch in enumerate(batches)]
        findings = 0
        for item in concurrent.futures.as_completed(work):
            if item.result():
                findings += 1
                print(item.result(), end="", flush=True)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())

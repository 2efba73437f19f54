#!/usr/bin/env bash
# Runs two Tasks over every Go file of the Go standard library: a Go program counts identifiers, a Python module collects
# TODO lines. Then compares what they found with what grep finds.
set -euo pipefail
cd "$(dirname "$0")/.."

tigerflow=$PWD/bin/tigerflow
source=$(go env GOROOT)/src
demo=$PWD/_demo # the underscore keeps Go from taking the inputs for a package

rm -rf "$demo"
mkdir -p "$demo/in"
go build -o "$demo/identifiers" ./examples/identifiers
cp examples/markers/markers.py "$demo/"

# One flat folder of links; a name tells the path that it stands for.
python3 - "$source" "$demo/in" <<'PYTHON'
import os, sys
source, folder = sys.argv[1:]
for parent, _, names in os.walk(source):
    for name in names:
        path = os.path.join(parent, name)
        if name.endswith(".go") and os.path.isfile(path):
            os.symlink(path, os.path.join(folder, os.path.relpath(path, source).replace("/", "__")))
PYTHON

cat > "$demo/tasks.yaml" <<'YAML'
apiVersion: tigerflow.dev/v1alpha1
kind: Task
metadata:
  name: identifiers
spec:
  type: LocalAsync
  localAsync: {concurrency: 2}
  workspace: {path: .}
  input: {directory: in, extension: .go}
  output: {directory: identifiers.out, extension: .txt}
  handler:
    program: {path: ./identifiers}
---
apiVersion: tigerflow.dev/v1alpha1
kind: Task
metadata:
  name: markers
spec:
  type: Local
  workspace: {path: .}
  input: {directory: in, extension: .go}
  output: {directory: markers.out, extension: .txt}
  handler:
    python: {module: markers.py}
  params:
    marker: TODO
YAML

"$tigerflow" run "$demo/tasks.yaml"

files() { find "$1" -maxdepth 1 -name "$2" -print0; }
export LC_ALL=C

echo
echo "The most frequent identifiers, by the Task and by grep:"
files "$demo/identifiers.out" '*.txt' | xargs -0 cat | awk '{n[$1] += $2} END {for (w in n) print n[w], w}' | sort -k1,1nr -k2 > "$demo/by-task"
files "$demo/in" '*.go' | xargs -0 grep -ahoE '[A-Za-z_][A-Za-z0-9_]*' | awk '{n[$0]++} END {for (w in n) print n[w], w}' | sort -k1,1nr -k2 > "$demo/by-grep"
paste <(head -8 "$demo/by-task") <(head -8 "$demo/by-grep") | awk '{printf "  %8d %-10s %8d %-10s\n", $1, $2, $3, $4}'
cmp "$demo/by-task" "$demo/by-grep"
echo "All $(wc -l < "$demo/by-task") identifiers have the same counts."

by_task=$(files "$demo/markers.out" '*.txt' | xargs -0 cat | wc -l)
by_grep=$(files "$demo/in" '*.go' | xargs -0 grep -ahw TODO | wc -l)
echo "Lines with TODO: $by_task by the Task, $by_grep by grep."
[[ $by_task == "$by_grep" ]]
echo "Results are in $demo."

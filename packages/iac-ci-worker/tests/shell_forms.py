"""The forms in which people run a tool: ``./tool`` stands for it, in the folder of the commands."""

import sys

FORMS = {
    "alone": "./tool",
    "after another command": "cd . && ./tool",
    "into a pipe": "./tool | tee out.log",
    "into a pipe with its errors": './tool 2>&1 | while read -r line; do echo "$line"; done',
    "into a process": "./tool > >(tee out.log)",
    "before another command": "./tool; echo done",
    "whatever it returns": "./tool || true",
    "in a script": "printf '#!/bin/sh\\n./tool\\necho goes on\\n' > script.sh; chmod +x script.sh; ./script.sh",
    "in a subshell": "(./tool)",
    "in a condition": "if ./tool; then echo yes; else echo no; fi",
    "in a substitution": 'found="$(./tool)"',
    "in a shell of its own": "sh -c './tool; true'",
    "in the background": "./tool & wait",
    "in the background, forgotten": "./tool & sleep 300",
    "in a session of its own": "setsid --wait ./tool",
    "answered by a pipe": "echo yes | ./tool",
    "answered for ever": "yes | ./tool > out.log",
    "under timeout": "timeout 300 ./tool",
    "under xargs": "echo 1 | xargs ./tool",
    "under Python": f"{sys.executable} -c 'import subprocess; subprocess.run([\"./tool\"], check=True)'",
    "with a handler for the exit": "trap 'echo cleaned' EXIT; ./tool",
    "with a handler that passes the signal on": "trap 'kill $tool; wait $tool' TERM INT; ./tool & tool=$!; wait $tool",
    "that ignores a closed terminal": "nohup ./tool",
    "into a named pipe": "mkfifo p; tee out.log < p & ./tool > p",
    "as a coprocess": 'coproc ./tool; cat <&"${COPROC[0]}"',
    "in a loop that tries again": "until ./tool; do sleep 1; done",
    "under make": "printf 'all:\\n\\t./tool\\n' > Makefile; make",
    "under flock": "flock lockfile ./tool",
}

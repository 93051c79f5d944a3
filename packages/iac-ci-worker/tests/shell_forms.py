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
    "into tee and gzip": "./tool | tee >(gzip > out.gz)",
    "into tee and a named pipe": "mkfifo p; cat p > out.log & (./tool 2>&1 | tee p)",
    "with its output sent to tee": "exec > >(tee out.log) 2>&1; ./tool",
    "with a handler that kills its jobs": "trap 'kill $(jobs -p)' EXIT; ./tool & wait",
    "with a handler that kills its group": "trap 'trap - TERM && kill -- -$$' INT TERM EXIT; ./tool & wait",
    "with both signals ignored": "trap '' INT TERM; ./tool",
    "slow to end, under timeout": "RELEASE_SECONDS=15 timeout 300 ./tool",
    "slow to end, with a handler that passes the signal on": (
        "trap 'kill $tool; wait $tool' TERM INT; RELEASE_SECONDS=15 ./tool & tool=$!; wait $tool"
    ),
    "in place of the shell": "./tool || true; ./tool",
    "one after another under xargs": "seq 5 | xargs -n1 ./tool",
    "together under xargs": "seq 2 | xargs -n1 -P2 ./tool",
    "one after another under Python": (
        f"{sys.executable} -c 'import subprocess\nfor _ in range(5): subprocess.run([\"./tool\"])'"
    ),
    "one after another for the lines of a pipe": "seq 5 | while read -r line; do ./tool || true; done",
    "in a loop in a substitution": 'until found="$(./tool)"; do :; done',
    "in a session that Python starts": (
        f"{sys.executable} -c 'import subprocess; subprocess.run([\"./tool\"], start_new_session=True)'"
    ),
    "in a terminal of its own": "script -qec ./tool /dev/null",
    "with an environment of its own": (
        'env -i "LOCK=${LOCK-}" "LOCK_URL=${LOCK_URL-}" "UNLOCK_URL=${UNLOCK_URL-}" ./tool'
    ),
    "answered by a document": "./tool <<EOF\nyes\nEOF",
    "that its shell forgets": "(./tool &); sleep 300",
    "that its script stops": (
        "./tool > out.log 2>&1 & until [ -s out.log ]; do sleep 0.1; done; kill -STOP $!; cat out.log; wait"
    ),
    "in place of a shell, with less priority": "bash -c 'exec nice -n 5 stdbuf -oL ./tool' | tee out.log",
}

GOING_ON = {
    "in a loop with a handler for the exit": "trap 'echo cleaned' EXIT; until ./tool; do sleep 1; done",
    "in a loop with a handler that goes on": "trap 'echo stopping' INT TERM; until ./tool; do sleep 1; done",
    "in a loop that ignores both signals": "trap '' INT TERM; until ./tool; do sleep 1; done",
    "in a loop of Python that goes on": (
        f'{sys.executable} -c \'import subprocess, time\nwhile True:\n try: subprocess.run(["./tool"])\n'
        " except BaseException: pass'"
    ),
}
"""Scripts that start the tool again and again, whatever signal they get."""

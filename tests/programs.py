"""Programs in processes of their own, forked from one that has imported what they need.

A fresh interpreter takes seconds to import Lightning. So one process imports it, and forks where
a test asks for a program: the program has its own memory, folder, signals and exit, as every
process, and only its imports are done. Where these are the claim, a test starts Python itself.
"""

import functools
import gc
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired


class Program:
    """A program that runs: `arguments` as for Python, its output in files or where `stdout` says.

    Args:
        arguments: Such as ["script.py", "--option"], ["-c", "print(1)"] or ["-m", "sinrnn"].
        cwd: The folder to run in.
        stdout: A file in place of the one that `communicate` reads; None is a pipe nobody reads.
        joined: Whether errors go where the output goes.
    """

    def __init__(self, arguments, cwd=None, stdout="", joined=False):
        sys.audit("program", sys.executable)
        self.files = tempfile.TemporaryDirectory()
        out, err = (Path(self.files.name) / name for name in ("out", "err"))
        given = {"arguments": [*map(str, arguments)], "cwd": str(cwd or Path.cwd())}
        given |= {"out": str(out) if stdout == "" else stdout, "err": None if joined else str(err)}
        self.pid, self.returncode = _ask(given), None

    def poll(self):
        """The exit status, or None while it runs."""
        if self.returncode is None:
            self.returncode = _ask({"poll": self.pid})
        return self.returncode

    def send_signal(self, number):
        """Send a signal."""
        os.kill(self.pid, number)

    def communicate(self, timeout=300):
        """Wait for its end; gives what it wrote to its output and its errors."""
        until = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > until:
                self.send_signal(signal.SIGKILL)
                raise TimeoutExpired("program", timeout)
            time.sleep(0.005)
        said = [
            path.read_text() if (path := Path(self.files.name) / name).exists() else ""
            for name in ("out", "err")
        ]
        self.files.cleanup()
        return said


def run(*arguments, **options):
    """Run a program to its end, as subprocess.run does with its output captured."""
    program = Program(arguments, **options)
    out, err = program.communicate()
    return CompletedProcess(arguments, program.returncode, out, err)


@functools.cache
def _server():
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, __file__], **pipes)


def _ask(request):
    server = _server()
    server.stdin.write(json.dumps(request) + "\n")
    server.stdin.flush()
    return json.loads(server.stdout.readline())


def close():
    """End the process that is forked from, if there is one."""
    if _server.cache_info().currsize:
        with _server() as server:
            server.stdin.close()
        _server.cache_clear()


def serve():
    """Fork for each request that is read, and answer with the child's number or status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()  # what is imported is no garbage, and looking for it would copy all of it
    answers = os.dup(1)
    while line := sys.stdin.readline():
        request = json.loads(line)
        if "poll" in request:
            pid, status = os.waitpid(request["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            answer = os.fork()
            if not answer:
                os.close(answers)
                become(**request)
                return
        os.write(answers, json.dumps(answer).encode() + b"\n")


def become(arguments, cwd, out, err):
    """Be the program, in a child; its end is that of the interpreter."""
    os.chdir(cwd)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if out is None:
        read, write = os.pipe()
        os.close(read)
    else:
        write = os.open(out, os.O_WRONLY | os.O_CREAT, 0o600)
    os.dup2(write, 1)
    os.dup2(os.open(err, os.O_WRONLY | os.O_CREAT, 0o600) if err else write, 2)
    kind, *rest = arguments
    if kind == "-c":
        sys.argv, sys.path[0] = ["-c", *rest[1:]], ""
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
    elif kind == "-m":
        sys.argv, sys.path[0] = rest, ""
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[0] = arguments, str(Path(kind).parent)
        runpy.run_path(kind, run_name="__main__")


if __name__ == "__main__":
    import sinrnn.cli.diagnose
    import sinrnn.cli.forecast
    import sinrnn.cli.train  # noqa: F401

    serve()

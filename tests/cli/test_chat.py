#!/usr/bin/env python3
"""`sluice chat` as people and scripts use it: through a pseudo-terminal, and through pipes.

    test_chat.py SLUICE [NAME ...]     run all tests, or those whose name contains NAME

Helpers and the way tests are run are test_cli.py's.
"""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time

import test_cli
from test_cli import one_line, path, sluice

STORY = test_cli.STORY
GREEDY = ["--temp", "0", "-n", "24"]
SLOW = ["--temp", "0", "--isa", "scalar", "--ignore-eos"]  # answers that last


def chat(lines, *args):
    """A conversation through pipes; returns (exit code, stdout text, stderr text)."""
    code, out, err = sluice("chat", *args, stdin="".join(f"{x}\n" for x in lines).encode())
    return code, out.decode(), err


def first_answer(text, *args):
    code, out, err = sluice("run", "-q", "-p", text, *args)
    assert code == 0, err
    return out.decode()


class Terminal:
    """sluice chat with a terminal of its own."""

    def __init__(self, *args, env=None, size_of_wait=60):
        self.wait = size_of_wait
        self.seen = b""
        environment = dict(os.environ, XDG_STATE_HOME=path("state"), TERM="xterm", LC_ALL="C")
        environment.update(env or {})
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.execve(test_cli.SLUICE, [test_cli.SLUICE, "chat", *args], environment)

    def send(self, text):
        os.write(self.master, text if isinstance(text, bytes) else text.encode())

    def read_some(self, until):
        ready, _, _ = select.select([self.master], [], [], max(0, until - time.monotonic()))
        if not ready:
            raise AssertionError(f"waited in vain, saw {self.seen!r}")
        try:
            data = os.read(self.master, 65536)
        except OSError:  # how Linux says that the other side is closed
            data = b""
        self.seen += data
        return data

    def expect(self, text):
        """Read until text has come; what came before it is returned and forgotten."""
        want = text.encode()
        until = time.monotonic() + self.wait
        while want not in self.seen:
            if not self.read_some(until):
                raise AssertionError(f"{text!r} did not come, but {self.seen!r} and the end")
        before, self.seen = self.seen.split(want, 1)
        return plain(before)

    def prompt(self):
        """The prompt, with the cursor behind it."""
        return self.expect("> ")

    def expect_answer(self):
        """Read until the answer has begun, which "reading: 9%" is not."""
        until = time.monotonic() + self.wait
        while not plain(re.sub(rb"\r[^\n\x1b]*(\x1b\[?)?$", b"", self.seen)):
            assert self.read_some(until), "no answer, but the end"

    def end(self):
        """Read to the end; the exit code."""
        until = time.monotonic() + self.wait
        while self.read_some(until):
            pass
        os.close(self.master)
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)


def plain(data):
    """What a terminal shows in the end, without what moves the cursor and its own line ends."""
    data = re.sub(rb"\rreading: \d+%\x1b\[K", b"", data)  # drawn if the machine is slow
    text = re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", data).replace(b"\r", b"")
    return text.decode("utf-8", "replace")


# ---- pipes ------------------------------------------------------------------------------


def test_the_first_answer_is_that_of_run():
    code, out, err = chat([STORY], *GREEDY)
    assert code == 0 and err == "", err
    assert out == first_answer(STORY, *GREEDY) + "\n"
    code, out, _ = chat([STORY], *GREEDY, "-sys", "Be brief.")
    assert out == first_answer(STORY, *GREEDY, "-sys", "Be brief.") + "\n"


def test_a_later_answer_is_that_of_a_fresh_evaluation_of_all_of_it():
    turns = [STORY, "Tell it again.", "And once more."]
    for policy in ("off", "static:4", "cascade", "ledger"):
        args = ["--temp", "0", "-n", "40", "--spec-policy", policy]
        answers, spelled = [], ""
        for i, turn in enumerate(turns):
            spelled += f"<|im_start|>user\n{turn}<|im_end|>\n<|im_start|>assistant\n"
            code, out, err = sluice("run", "--raw", "-q", *args, stdin=spelled.encode() + b"\n")
            assert code == 0, err
            answers.append(out.decode())
            spelled += f"{answers[i]}<|im_end|>\n"
        code, out, err = chat(turns, *args)
        assert code == 0 and err == "", err
        assert out == "".join(f"{answer}\n" for answer in answers), policy


def test_only_the_new_turn_is_evaluated():
    _, _, err = chat([STORY, "/stats", "Again.", "/stats"], *GREEDY)
    evaluated = [int(n) for n in re.findall(r"prompt +(\d+) tokens", err)]
    taken = [int(n) for n in re.findall(r"context +(\d+) of", err)]
    assert len(evaluated) == len(taken) == 2, err
    assert evaluated[1] < 16 and taken[1] > taken[0] + evaluated[1], err


def test_lines_that_end_in_a_backslash_go_on():
    code, out, _ = chat(["Repeat this:\\", "one\\", "two"], *GREEDY)
    assert code == 0 and out == first_answer("Repeat this:\none\ntwo", *GREEDY) + "\n"
    code, out, _ = chat(["", STORY + "\\"], *GREEDY)  # and the pipe ends
    assert code == 0 and out == first_answer(STORY + "\n", *GREEDY) + "\n"


def test_reset_forgets_and_system_sets():
    want = first_answer(STORY, *GREEDY) + "\n"
    briefly = first_answer(STORY, *GREEDY, "-sys", "Use capital letters.") + "\n"
    code, out, err = chat(["Hello.", "/reset", STORY, "/system Use capital letters.", STORY,
                           "/system", STORY, "/quit", "never said"], *GREEDY)
    assert code == 0 and err == "", err
    assert out.endswith(want + briefly + want), out
    assert out == first_answer("Hello.", *GREEDY) + "\n" + want + briefly + want


def test_help_lists_the_commands():
    code, out, err = chat(["/help"])
    assert code == 0 and out == ""
    for command in ("/help", "/reset", "/system TEXT", "/stats", "/quit"):
        assert command in err, command


def test_a_script_ends_at_its_first_mistake():
    for lines, code, words in [
            (["/frobnicate", STORY], 2, ["/frobnicate", "/help"]),
            (["/reset now"], 2, ["/reset", "'now'"]),
            (["a\0b"], 1, ["byte 1 is zero"]),
            (["word " * 500], 1, ["the context is full", "/reset", "-c"])]:
        got, out, err = chat(lines, *GREEDY, "-c", "256")
        assert got == code and out == "", (lines, got, out)
        one_line(err, *words)
    code, _, err = sluice("chat", stdin=b"abc\xff\n")
    assert code == 1
    one_line(err, "your turn", "byte 3 is 0xFF")


def test_a_full_context_is_said_and_keeps_what_was_said():
    code, out, err = chat([STORY, "word " * 60, "Again."], *GREEDY, "-c", "96")
    assert code == 1 and out == first_answer(STORY, *GREEDY) + "\n"
    one_line(err, "the context is full", "of its 96 tokens are taken")


def test_a_blank_makes_a_command_words():
    code, out, _ = chat([" /reset"], *GREEDY)
    assert code == 0 and out == first_answer(" /reset", *GREEDY) + "\n"


def test_a_reader_that_leaves_ends_the_chat_quietly():
    process = subprocess.Popen([test_cli.SLUICE, "chat", *SLOW, "-n", "900"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    process.stdin.write(f"{STORY}\n{STORY}\n".encode())
    process.stdin.flush()
    assert len(process.stdout.read(5)) == 5
    process.stdout.close()
    err = process.stderr.read().decode()
    assert process.wait(timeout=60) == 0 and err == "", err
    process.stdin.close()
    process.stderr.close()


def test_options_are_checked_before_the_model():
    test_cli.fails(2, ["chat", "--tmep", "1"], "did you mean --temp?")
    test_cli.fails(2, ["chat", "-sys", ""], "-sys: expected some text")
    test_cli.fails(1, ["chat", "-m", path("none.gguf")], "none.gguf")


# ---- a terminal ---------------------------------------------------------------------------


def test_a_conversation_on_a_terminal():
    terminal = Terminal(*GREEDY)
    assert "/help" in terminal.prompt()
    terminal.send(STORY + "\r")
    terminal.expect("\n")  # its echo
    assert terminal.prompt() == first_answer(STORY, *GREEDY) + "\n"
    terminal.send("/frobnicate\r")
    terminal.expect("\n")
    assert "unknown command /frobnicate" in terminal.prompt()
    terminal.send("/quit\r")
    assert terminal.end() == 0


def test_lines_are_edited_and_may_hold_any_character():
    turn = "Répète: naïve 😀"
    terminal = Terminal(*GREEDY)
    terminal.prompt()
    terminal.send("Xpète: naïve 😀ü\x7f\x01\x1b[3~Ré\r")  # backspace, Ctrl-A, delete
    terminal.expect("\n")
    assert terminal.prompt() == first_answer(turn, *GREEDY) + "\n"
    terminal.send("\x04")  # Ctrl-D
    assert terminal.end() == 0


def test_turns_of_several_lines_on_a_terminal():
    terminal = Terminal(*GREEDY)
    terminal.prompt()
    terminal.send("Repeat this:\\\r")
    terminal.expect(". ")
    terminal.send("one\r")
    terminal.expect("\n")
    assert terminal.prompt() == first_answer("Repeat this:\none", *GREEDY) + "\n"
    terminal.send("/quit\r")
    assert terminal.end() == 0


def test_a_paste_of_several_lines_is_one_turn():
    terminal = Terminal(*GREEDY)
    while b"> " not in terminal.seen:
        terminal.read_some(time.monotonic() + 60)
    assert b"\x1b[?2004h" in terminal.seen
    terminal.prompt()
    terminal.send("\x1b[200~Repeat this:\rone é\r\ttwo\x07\r\x1b[201~\r")
    terminal.expect("two")
    terminal.expect("\n")
    assert terminal.prompt() == first_answer("Repeat this:\none é\n\ttwo", *GREEDY) + "\n"
    terminal.send("\x1b[A\r")  # remembered as one
    terminal.expect("two")
    terminal.expect("\n")
    assert terminal.prompt() != ""
    terminal.send("\x04")
    assert terminal.end() == 0


def test_two_chats_at_once_remember_the_lines_of_both():
    env = {"XDG_STATE_HOME": path("both")}
    terminals = [Terminal(*GREEDY, env=env) for _ in range(2)]
    for terminal, line in zip(terminals, ("/frob", "/nicate")):
        terminal.prompt()
        terminal.send(line + "\r")
        terminal.expect("\n")
        assert "unknown command" in terminal.prompt()
    for terminal in terminals:
        terminal.send("\x04")
        assert terminal.end() == 0
    with open(path("both/sluice/chat_history"), encoding="utf-8") as f:
        lines = f.read().split("\n")
    assert lines[1:] == ["/frob\\012", "/nicate\\012", ""], lines


def test_ctrl_c_stops_the_answer_and_not_the_program():
    terminal = Terminal(*SLOW)
    terminal.prompt()
    terminal.send(STORY + "\r")
    terminal.expect("\n")
    terminal.expect("ong ago")  # the answer goes on for seconds
    terminal.send("\x03")
    assert "(stopped)" in terminal.prompt()
    terminal.send("/stats\r")
    assert "stopped: interrupted" in terminal.expect("tokens taken")
    terminal.prompt()
    terminal.send("Go on.\r")  # the stopped answer is part of the conversation
    terminal.expect("\n")
    terminal.expect_answer()
    terminal.send("\x03")
    assert "(stopped)" in terminal.prompt()
    terminal.send("half a line")
    terminal.expect("half a line")
    terminal.send("\x03")
    terminal.expect("Ctrl-C again, or Ctrl-D, quits")
    terminal.prompt()
    terminal.send("\x03")
    assert terminal.end() == 0


def test_keys_typed_during_an_answer_are_for_the_next_prompt():
    for keys in ("\x04", "/quit\r", "/reset\r\x04"):
        terminal = Terminal(*SLOW, "-n", "60")
        terminal.prompt()
        terminal.send(STORY + "\r")
        terminal.expect("\n")
        terminal.expect("ong")
        terminal.send(keys)
        terminal.prompt()
        assert terminal.end() == 0, keys


def test_a_line_between_two_ctrl_c_means_to_stay():
    terminal = Terminal(*GREEDY)
    terminal.prompt()
    for _ in range(2):
        terminal.send("\x03")
        terminal.expect("quits")
        terminal.prompt()
        terminal.send("/reset\r")
        terminal.expect("\n")
        terminal.prompt()
    terminal.send("\x03")
    terminal.expect("quits")
    terminal.prompt()
    terminal.send("\x03")
    assert terminal.end() == 0


def test_a_full_context_on_a_terminal_can_be_reset():
    terminal = Terminal(*GREEDY, "-c", "64")
    terminal.prompt()
    terminal.send("word " * 60 + "\r")
    terminal.expect("the context is full")
    terminal.prompt()
    terminal.send("/reset\r")
    terminal.expect("\n")
    terminal.prompt()
    terminal.send("Hi.\r")
    terminal.expect("\n")
    assert terminal.prompt() == first_answer("Hi.", *GREEDY) + "\n"
    terminal.send("\x04")
    assert terminal.end() == 0


def test_lines_are_remembered_from_one_chat_to_the_next():
    env = {"XDG_STATE_HOME": path("memory")}
    remembered = path("memory/sluice/chat_history")
    terminal = Terminal(*GREEDY, env=env)
    terminal.prompt()
    terminal.send(STORY + "\r")
    terminal.expect("\n")
    want = terminal.prompt()
    terminal.send("\x04")
    assert terminal.end() == 0
    assert os.stat(remembered).st_mode & 0o077 == 0
    terminal = Terminal(*GREEDY, env=env)
    terminal.prompt()
    terminal.send("\x1b[A\r")  # the arrow up
    terminal.expect("\n")
    assert terminal.prompt() == want
    terminal.send("\x04")
    assert terminal.end() == 0
    os.remove(remembered)
    terminal = Terminal(*GREEDY, "--no-history", env=env)
    terminal.prompt()
    terminal.send("/help\r\x04")
    assert terminal.end() == 0 and not os.path.exists(remembered)


def test_a_signal_ends_the_chat_and_leaves_the_terminal_as_it_was():
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    process = subprocess.Popen([test_cli.SLUICE, "chat", "--no-history"], stdin=slave,
                               stdout=slave, stderr=slave, env=dict(os.environ, TERM="xterm"))
    seen = b""
    while b"> " not in seen:
        seen += os.read(master, 4096)
    assert termios.tcgetattr(slave) != before  # keys come one by one now
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(test_cli.main(globals()))

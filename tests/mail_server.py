"""A mail server on the loopback address that tests use: it speaks SMTP and answers as the test says."""

from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_string, policy
from email.message import EmailMessage
from socket import SHUT_RDWR
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread

from pytest_django import Settings

GOES_AWAY = ""
OK = "250 OK"


class MailServer:
    """What it answers, and what it got.

    `answers` maps a command ("HELLO" is the greeting, "." the end of a letter) to a line, such as "550 no such user",
    or to GOES_AWAY, which closes the connection. A command that is not in it is accepted.
    """

    def __init__(self) -> None:
        self.answers: dict[str, str] = {}
        self.letters: list[EmailMessage] = []
        self.recipients: list[str] = []


class _Conversation(StreamRequestHandler):
    mails: MailServer

    def handle(self) -> None:
        if not self._answer("HELLO", "220 here"):
            return
        while line := self.rfile.readline().decode().strip():
            verb, _, rest = line.partition(" ")
            accepted = self._answer(verb.upper(), "354 go on" if verb.upper() == "DATA" else OK)
            if self.mails.answers.get(verb.upper()) == GOES_AWAY:
                return
            if accepted and verb.upper() == "RCPT":
                self.mails.recipients.append(rest.partition("<")[2].partition(">")[0])
            if accepted and verb.upper() == "DATA":
                self._letter()

    def _letter(self) -> None:
        lines = []
        while (line := self.rfile.readline().decode()) not in {".\r\n", ""}:
            lines.append(line.removeprefix(".") if line.startswith("..") else line)
        if self._answer(".", OK):
            self.mails.letters.append(message_from_string("".join(lines), _class=EmailMessage, policy=policy.default))

    def _answer(self, verb: str, usual: str) -> bool:
        """Sends the answer to a command. Says whether the command was accepted."""
        answer = self.mails.answers.get(verb, usual)
        if answer == GOES_AWAY:
            self.connection.shutdown(SHUT_RDWR)
            return False
        self.wfile.write(f"{answer}\r\n".encode())
        return answer[0] in "23"


@contextmanager
def mail_server(settings: Settings) -> Iterator[MailServer]:
    """Runs a mail server, and lets Django send its mail to it."""
    mails = MailServer()
    handler = type("Conversation", (_Conversation,), {"mails": mails})
    with ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = server.server_address[:2]
        yield mails
        server.shutdown()

"""A real SMTP server that keeps what it is sent: aiosmtpd, with STARTTLS and a password.

server.py PORT CERT KEY DIR: each mail becomes a file in DIR, its recipients in a header.
Recipients that begin with "nobody" are refused for good; while DIR/busy is there, mails are
put off.
"""
import os
import ssl
import sys
import threading

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

port, cert, key, directory = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]


class Keeper:
    count = 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if os.path.exists(os.path.join(directory, "busy")):
            return "451 try again later"
        Keeper.count += 1
        name = os.path.join(directory, f"{Keeper.count:04}.eml")
        with open(name + ".part", "wb") as f:
            f.write(f"X-Rcpt: {' '.join(envelope.rcpt_tos)}\r\nX-Tls: {session.ssl is not None}\r\n".encode() + envelope.original_content)
        os.rename(name + ".part", name)
        return "250 kept"


def check(server, session, envelope, mechanism, data):
    return AuthResult(success=(data.login, data.password) == (b"busbar", b"right"))


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert, key)
Controller(Keeper(), hostname="127.0.0.1", port=port, tls_context=context, require_starttls=True,
           authenticator=check, auth_required=True, auth_require_tls=True).start()
threading.Event().wait()

"""A server that behaves like a FHIR R4 server, over real TLS: transactions, conditional creates, refusals.

A transaction is done whole or not at all. Every resource is checked by fhir.resources; references within a
bundle must lead to one of its entries. `faults` are used up one a request, in order: a status to answer with,
"cut" (the connection ends), "garbage", "short" (an entry is missing in the answer), "endless", ("slow", s).
"""

import json
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from fhir.resources.R4B import get_fhir_model_class
from fhir.resources.R4B.bundle import Bundle
from pydantic import ValidationError

from tests.services import Authority

Resource = dict[str, Any]
Refuses = Callable[[Resource], "tuple[int, str] | None"]


class Refused(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class FhirServer:
    """`stored`: resources by "Kind/id". `requests`: bodies as they came. `refuse`: a policy for entries."""

    def __init__(self, authority: Authority, token: str | None = None, clients: bool = False) -> None:
        self.stored: dict[str, Resource] = {}
        self.requests: list[Resource] = []
        self.faults: list[Any] = []
        self.refuse: Refuses = lambda resource: None
        self.token = token
        self.transactions = 0
        self._authority = authority
        self._clients = clients
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        # A handshake that fails is what some tests are about.
        self._server.handle_error = lambda *_: None
        self.certify(authority)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._server.server_address[1]}/r4"

    def certify(self, authority: Authority) -> None:
        """Serve new connections with a certificate of this authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*map(str, authority.server()))
        if self._clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(str(authority.ca_file))
        self.context = context

    def kinds(self, kind: str) -> list[Resource]:
        with self._lock:
            return [one for key, one in self.stored.items() if key.startswith(f"{kind}/")]

    def observations(self, code: str) -> list[Resource]:
        return [
            one for one in self.kinds("Observation") if any(c["code"] == code for c in one["code"]["coding"])
        ]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def start(self) -> None:
        self._thread.start()

    # What a FHIR server does

    def transaction(self, bundle: Resource) -> Resource:
        with self._lock:
            before = dict(self.stored)
            try:
                return self._transaction(bundle)
            except BaseException:
                self.stored = before
                raise

    def _transaction(self, bundle: Resource) -> Resource:
        try:
            Bundle.model_validate(bundle)
        except ValidationError as e:
            raise Refused(400, f"not a bundle: {e.errors()[0]}") from e
        if bundle["type"] != "transaction":
            raise Refused(400, "not a transaction")
        places: dict[str, str] = {}
        answers, made = [], []
        for entry in bundle["entry"]:
            resource, request = entry["resource"], entry["request"]
            try:
                get_fhir_model_class(resource["resourceType"]).model_validate(resource)
            except ValidationError as e:
                raise Refused(422, f"{resource['resourceType']}: {e.errors()[0]}") from e
            refused = self.refuse(resource)
            if refused is not None:
                raise Refused(*refused)
            status, place = self._place(resource, request)
            places[entry["fullUrl"]] = place
            answers.append(
                {"response": {"status": status, "location": f"{place}/_history/1", "etag": 'W/"1"'}}
            )
            if status.startswith("201") or request["method"] == "PUT":
                made.append((place, resource))
        for place, resource in made:
            self.stored[place] = json.loads(self._resolved(json.dumps(resource), places))
        self.transactions += 1
        return {"resourceType": "Bundle", "type": "transaction-response", "entry": answers}

    def _place(self, resource: Resource, request: Resource) -> tuple[str, str]:
        kind = resource["resourceType"]
        if request["method"] == "PUT":
            return ("200 OK" if request["url"] in self.stored else "201 Created"), request["url"]
        query = request.get("ifNoneExist")
        if query is not None:
            system, _, value = query.removeprefix("identifier=").rpartition("|")
            found = [
                key
                for key, one in self.stored.items()
                if key.startswith(f"{kind}/")
                and any(
                    i.get("value") == value and (not system or i.get("system") == system)
                    for i in one.get("identifier", ())
                )
            ]
            if len(found) > 1:
                raise Refused(412, f"{query} matches {len(found)} resources")
            if found:
                return "200 OK", found[0]
        place = f"{kind}/{len(self.stored) + 1}"
        self.stored[place] = resource
        return "201 Created", place

    @staticmethod
    def _resolved(text: str, places: dict[str, str]) -> str:
        def one(match: re.Match[str]) -> str:
            if match[1] not in places:
                raise Refused(400, f"no entry {match[1]}")
            return f'"reference": "{places[match[1]]}"'

        return re.sub(r'"reference": "(urn:uuid:[0-9a-f-]+)"', one, text)

    # HTTP

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                plain = self.request
                try:
                    self.request = server.context.wrap_socket(plain, server_side=True)
                except OSError:
                    plain.close()
                    raise
                super().setup()

            def finish(self) -> None:
                super().finish()
                self.request.close()

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:
                    self.close_connection = True

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.requests.append(body)
                fault = server.faults.pop(0) if server.faults else None
                if server.token is not None and self.headers.get("Authorization") != f"Bearer {server.token}":
                    return self._say(401, _outcome("who are you?"))
                if self.path != "/r4":
                    return self._say(404, _outcome("no such place"))
                if isinstance(fault, int):
                    more = {"Retry-After": "1"} if fault in (429, 503) else {}
                    if fault in (301, 302, 307):
                        more = {"Location": server.url}
                    return self._say(fault, _outcome(f"fault {fault}"), more)
                if isinstance(fault, tuple):
                    time.sleep(fault[1])
                elif fault == "cut":
                    self.close_connection = True
                    return None
                elif fault == "garbage":
                    return self._say(200, b"<html>welcome to the hotel's network</html>")
                elif fault == "endless":
                    return self._endless()
                try:
                    answer = server.transaction(body)
                except Refused as e:
                    return self._say(e.status, _outcome(str(e)))
                if fault == "short":
                    answer["entry"].pop()
                elif fault == "cut after":
                    self.close_connection = True
                    return None
                return self._say(200, json.dumps(answer).encode())

            def _say(self, status: int, body: bytes, more: dict[str, str] | None = None) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/fhir+json")
                self.send_header("Content-Length", str(len(body)))
                for name, value in (more or {}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def _endless(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.close_connection = True
                for _ in range(20):
                    self.wfile.write(bytes(1 << 20))

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def _outcome(text: str) -> bytes:
    issue = [{"severity": "error", "code": "processing", "diagnostics": text}]
    return json.dumps({"resourceType": "OperationOutcome", "issue": issue}).encode()


@contextmanager
def fhir_server(authority: Authority, **options: Any) -> Iterator[FhirServer]:
    """A server on loopback for the `with`."""
    server = FhirServer(authority, **options)
    server.start()
    try:
        yield server
    finally:
        server.stop()

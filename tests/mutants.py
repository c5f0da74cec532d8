"""Each rule of reliability broken once, on purpose: the tests must notice.

    python -m tests.mutants [--only WORD]

A mutant is a copy of the project with one piece of text replaced. It is killed if the tests of its rules fail. Exit code
1 if one survives, or if its text is not there any more.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
# The tests of each file's rules; the whole suite would notice more, and take an hour.
TESTS = {
    "access.py": ["tests/test_access.py"],
    "ingest/application.py": ["tests/ingest/test_access.py", "tests/ingest/test_overload.py"],
    "ingest/settings.py": ["tests/ingest/test_access.py"],
    "server/app.py": ["tests/server/test_connection.py"],
    "saving/partial.py": ["tests/saving/test_partial.py"],
    "saving/source.py": [
        "tests/saving/test_partial.py",
        "tests/saving/test_source.py",
        "tests/sources/test_url_list.py",
    ],
    "resuming/replies.py": ["tests/resuming/test_replies.py", "tests/sources/test_tls.py"],
    "resuming/stream.py": [
        "tests/resuming/test_stream.py",
        "tests/resuming/test_backoff.py",
        "tests/sources/test_url_list.py",
    ],
    "resuming/backoff.py": ["tests/resuming/test_backoff.py"],
    "sources/export_api.py": ["tests/resuming/test_backoff.py", "tests/sources/test_http.py"],
    "sources/metadata.py": ["tests/sources/test_url_list.py", "tests/sources/test_metadata.py"],
    "resuming/watching.py": ["tests/resuming/test_stream.py", "tests/sources/test_receiving.py"],
    "unpacking/stream.py": ["tests/unpacking/test_stream.py"],
    "sources/proving.py": ["tests/sources/test_url_list.py"],
    "unpacking/gunzip.py": ["tests/unpacking/test_gunzip.py"],
    "sources/http.py": ["tests/sources/test_http.py", "tests/sources/test_tls.py", "tests/sources/test_addresses.py"],
    "sources/http_faults.py": [
        "tests/sources/test_tls.py",
        "tests/sources/test_addresses.py",
        "tests/cli/test_secrets.py",
    ],
    "cli/arguments.py": ["tests/cli/test_hints.py", "tests/cli/test_secrets.py"],
    "cli/parser.py": ["tests/cli/test_hints.py", "tests/cli/test_secrets.py", "tests/cli/test_help.py"],
    "cli/text.py": ["tests/cli/test_help.py"],
    "reducers/course.py": ["tests/reducers/test_course.py"],
    "report/courses.py": ["tests/report/test_html.py"],
    "report/markup.py": ["tests/report/test_html.py"],
    "cli/faces.py": ["tests/cli/test_faces.py"],
    "errors.py": [
        "tests/cli/test_hints.py",
        "tests/test_shown.py",
        "tests/resuming/test_replies.py",
        "tests/resuming/test_backoff.py",
    ],
    "distributed/clusters.py": ["tests/distributed/test_keys.py"],
    "distributed/crew.py": ["tests/distributed/test_keys.py"],
    "distributed/keys.py": ["tests/distributed/test_keys.py"],
    "distributed/tasks.py": ["tests/distributed/test_keys.py"],
    "sources/url_list.py": ["tests/sources/test_tls.py"],
    "cli/progress.py": ["tests/cli/test_progress.py"],
    "events.py": ["tests/cli/test_trouble.py"],
    "server/run.py": ["tests/cli/test_trouble.py"],
    "shown.py": ["tests/test_shown.py"],
    "newfile.py": ["tests/saving/test_source.py"],
    "sources/addresses.py": ["tests/sources/test_addresses.py"],
    "sources/listing.py": ["tests/saving/test_source.py"],
    "sources/manifest.py": ["tests/cli/test_secrets.py"],
    "pipeline/download.py": [
        "tests/pipeline/test_run.py",
        "tests/saving/test_partial.py",
        "tests/faults",
        "tests/pipeline/test_checkpoint.py",
    ],
    "pipeline/span.py": ["tests/pipeline/test_run.py", "tests/faults", "tests/pipeline/test_checkpoint.py"],
    "pipeline/ledger.py": ["tests/pipeline/test_run.py", "tests/faults", "tests/pipeline/test_checkpoint.py"],
    "pipeline/producers.py": [
        "tests/pipeline/test_run.py",
        "tests/saving/test_partial.py",
        "tests/pipeline/test_splitting.py",
        "tests/pipeline/test_checkpoint.py",
    ],
    "formats/cutting.py": ["tests/pipeline/test_splitting.py"],
    "pipeline/slabs.py": ["tests/pipeline/test_slabs.py", "tests/pipeline/test_run.py", "tests/engine/test_kernel.py"],
    "pipeline/workers.py": ["tests/pipeline/test_slabs.py"],
    "sources/receiving.py": ["tests/sources/test_receiving.py"],
    "pipeline/run.py": ["tests/pipeline/test_run.py", "tests/faults", "tests/pipeline/test_checkpoint.py"],
    "pipeline/checkpoint.py": ["tests/pipeline/test_checkpoint.py"],
    "formats/hints.py": ["tests/test_hostile_text.py"],
    "formats/csv.py": ["tests/formats/test_quoting.py"],
    "formats/decoding.py": ["tests/formats/test_quoting.py"],
    "formats/values.py": ["tests/formats/test_csv.py"],
    "formats/quoting.py": ["tests/formats/test_quoting.py"],
    "pipeline/checking.py": ["tests/pipeline/test_altered_checkpoints.py"],
    "pipeline/variety.py": ["tests/test_limits.py"],
    "pipeline/rechecking.py": ["tests/pipeline/test_checkpoint.py", "tests/faults"],
    "pipeline/streams.py": ["tests/resuming/test_replies.py", "tests/sources/test_url_list.py"],
    "formats/filters.py": ["tests/formats/test_filters.py"],
    "formats/fields.py": ["tests/formats/test_filters.py", "tests/formats/test_fields.py"],
    "reducers/packing.py": ["tests/engine/test_states.py"],
    "reducers/protocol.py": ["tests/engine/test_states.py"],
    "reducers/rules.py": ["tests/engine/test_states.py", "tests/test_hostile_text.py"],
    "reducers/selection.py": ["tests/engine/test_states.py"],
    "reducers/spread.py": ["tests/engine/test_states.py"],
    "reducers/summary.py": ["tests/engine/test_states.py"],
    "ingest/bodies.py": ["tests/ingest/test_bodies.py"],
    "ingest/admission.py": ["tests/ingest/test_admission.py"],
    "ingest/refusals.py": ["tests/ingest/test_refusals.py"],
    "ingest/accepting.py": ["tests/ingest/test_overload.py"],
    "ingest/wire.py": [
        "tests/ingest/test_access.py",
        "tests/ingest/test_overload.py",
        "tests/ingest/test_wire.py",
        "tests/ingest/test_process.py",
    ],
    "ingest/lanes.py": ["tests/ingest/test_averages.py"],
    "ingest/queries.py": ["tests/ingest/test_averages.py"],
    "ingest/compaction.py": ["tests/ingest/test_concurrency.py"],
    "pipeline/ranges.py": [
        "tests/pipeline/test_ranges.py",
        "tests/pipeline/test_splitting.py",
        "tests/pipeline/test_checkpoint.py",
        "tests/faults",
    ],
}


@dataclass(frozen=True)
class Mutant:
    """A rule, and how it is broken: in a file of the package, `old` becomes `new`."""

    rule: str
    file: str
    old: str
    new: str


ACCESS, SERVER = "access.py", "server/app.py"
REPLIES, RESUMING, GUNZIP = "resuming/replies.py", "resuming/stream.py", "unpacking/gunzip.py"
BACKOFF = "resuming/backoff.py"
HTTP, WATCHING, CHECKPOINT = "sources/http.py", "resuming/watching.py", "pipeline/checkpoint.py"
FAULTS = "sources/http_faults.py"
DOWNLOAD, SPAN, LEDGER, RUN = "pipeline/download.py", "pipeline/span.py", "pipeline/ledger.py", "pipeline/run.py"
RECHECKING, STREAMS = "pipeline/rechecking.py", "pipeline/streams.py"
PARTIAL, SAVING = "saving/partial.py", "saving/source.py"
PROTOCOL = "reducers/protocol.py"
PRODUCERS, RANGES, CUTTING = "pipeline/producers.py", "pipeline/ranges.py", "formats/cutting.py"
BODIES, ADMISSION, REFUSALS = "ingest/bodies.py", "ingest/admission.py", "ingest/refusals.py"
ACCEPTING, WIRE, COMPACTION = "ingest/accepting.py", "ingest/wire.py", "ingest/compaction.py"

MUTANTS = [
    Mutant("door: another name is misdirected", ACCESS, "return address is not None and address == _address(local)", "return True"),
    Mutant("door: one Host", ACCESS, "if len(hosts) != 1:", "if not hosts:"),
    Mutant("door: a target's host counts", ACCESS, "(host[0], asked.target or host[0])", "(host[0],)"),
    Mutant("door: all origins are own", ACCESS, "not all(self._own(", "not any(self._own("),
    Mutant("door: an origin has a scheme", ACCESS, "found is None or found[1].lower() != asked.scheme", "found is None"),
    Mutant("door: an origin has a port", ACCESS, "page[1] == port and ", ""),
    Mutant("door: chunks are a body", ACCESS, 'case b"transfer-encoding":\n                    body = True', 'case b"transfer-encoding":\n                    pass'),
    Mutant("door: some methods always have a body", ACCESS, "(body or asked.method in self.bodies)", "body"),
    Mutant("door: an IPv4 address as IPv6", ACCESS, "(address.ipv4_mapped or address)", "address"),
    Mutant("door: a token is one of the file's", ACCESS, "if hmac.compare_digest(digest, its_digest):", "if True:"),
    Mutant("door: a token is for something", ACCESS, 'right not in (needed, "admin")', "False"),
    Mutant("door: deleting is an admin's", ACCESS, ', "DELETE": "admin"', ""),
    Mutant("door: one credential", ACCESS, "if len(credentials) == 1 else", "if credentials else"),
    Mutant("door: a line of tokens is there once", ACCESS, "if name in names or digest in known:", "if name in names:"),
    Mutant("door: the service has one", "ingest/application.py", "        if refusal is not None:\n", "        if False:\n"),
    Mutant("door: uvicorn's command listens by the rules", "ingest/application.py", "if host is not None and self.settings.is_open(host):", "if False:"),
    Mutant("door: settings listen by the rules", "ingest/settings.py", "if self.is_open(self.host):", "if False:"),
    Mutant("door: a head at once is counted", "ingest/wire.py", "piece, data = data[: HEAD_BYTES - self._head_bytes], data[HEAD_BYTES - self._head_bytes :]",
           'piece, data = data, b""'),
    Mutant("door: a head behind another is counted", "ingest/wire.py", "> HEAD_BYTES:\n            self._stop", "> 1 << 40:\n            self._stop"),
    Mutant("door: a reply under way goes out before 431", "ingest/wire.py", "        if self._at_rest():\n            self._say_too_long()\n\n", "        self._say_too_long()\n\n"),
    Mutant("door: the mock server has one", SERVER, "_refusal(request) or await handler(request)", "await handler(request)"),
    Mutant("door: a whole URL as target", SERVER, "None if request.host == request.headers.get(hdrs.HOST) else request.host", "None"),
    Mutant("slabs: one that may be written to is not used again", "pipeline/slabs.py", "None if self._is_written_to else buffer", "buffer"),
    Mutant("slabs: another span begins without what came before", "pipeline/slabs.py", "        self._cutter.let_go()\n        self._cutter = cutter", "        self._cutter = cutter"),
    Mutant("slabs: spans in order", "pipeline/slabs.py", "item.run not in self._taken", "True"),
    Mutant("workers: a chunk is taken in whole", "pipeline/workers.py", "                _settle(finish, done, result)\n        self.threads", "                pass\n        self.threads"),
    Mutant("received: a connection is used again only when whole", "sources/receiving.py", "self._give_back(whole=False)", "self._give_back(whole=True)"),
    Mutant("received: one that brought all is used again", "sources/receiving.py", "if whole and not self._is_lost:", "if False:"),
    Mutant("received: what is buffered comes first", "sources/receiving.py", "        pieces.append(piece)\n", "        pass\n"),
    Mutant("received: nobody is written to who does not wait", "sources/receiving.py", "self._waiter, self._into = None, memoryview(b\"\")\n            if not self._is_lost:\n                self._transport.pause_reading()", "pass"),
    Mutant("received: what came before a break counts", "sources/receiving.py", "if not self._filled and self._failed is not None:", "if self._failed is not None:"),
    Mutant("received: what trickles is counted", "resuming/watching.py", "self.received + self._flush()", "self.received"),
    Mutant("resumable only by a strong tag", REPLIES, "_STRONG_TAG.fullmatch(etag) is not None", "True"),
    Mutant("resumable only without encoding", REPLIES, 'coding == "identity" and etag is not None', "etag is not None"),
    Mutant("no repetition tried from every space", "formats/hints.py", r"|\s(?=", r"|\s+(?="),
    Mutant("a quote that is never closed costs its line", "formats/quoting.py", "return None if cut_off else first_end\n                if", "return None if cut_off else position\n                if"),
    Mutant("a row is no longer than a row may be", "formats/quoting.py", "start + MAX_ROW_BYTES + 1)", "start + 2 * MAX_ROW_BYTES + 1)"),
    Mutant("a header in another order is in force", "formats/csv.py", "            self._read(text, self._download_id, line)\n", "            pass\n"),
    Mutant("a header that comes again is no row", "formats/decoding.py", "if fields and names_again(fields, layout):", "if False:"),
    Mutant("keys of few parts", "reducers/rules.py", "MAX_DOTS = 100", "MAX_DOTS = 10**9"),
    Mutant("groups after a merge", "pipeline/variety.py", "        self._check_groups(merged)\n", ""),
    Mutant("groups after a chunk", "pipeline/variety.py", "        self._check_groups(fold.state)\n", ""),
    Mutant("a checkpoint's states are those of what is finished", "pipeline/checking.py", "if merged != sorted(", "if False and sorted("),
    Mutant("a checkpoint's spans do not overlap", "pipeline/checking.py", "held.span.end > following.span.start", "False"),
    Mutant("a checkpoint's offsets are in the download", "pipeline/checking.py", "or held.offset <= total", "or True"),
    Mutant("one tag", REPLIES, "etag = tags[0] if len(tags) == 1 else None", "etag = tags[0] if tags else None"),
    Mutant("unasked encoding is refused", REPLIES, 'coding == "gzip" and asked.gzip', 'coding == "gzip"'),
    Mutant("exactly one Content-Range", REPLIES, "ranges[0]) if len(ranges) == 1 else None\n    if match is None:\n"
           "        # Several", "ranges[0]) if ranges else None\n    if match is None:\n        # Several"),
    Mutant("the part's first byte", REPLIES, "if first != offset:", "if first > offset:"),
    Mutant("the part's last byte after its first", REPLIES, "last < first or last >= total", "last >= total"),
    Mutant("the part's last byte before the total", REPLIES, "last < first or last >= total", "last < first"),
    Mutant("the total remembered", REPLIES, "if mark.total is not None and total != mark.total:", "if False:"),
    Mutant("the part's length", REPLIES, "if lengths and lengths != [str(last - first + 1)]:", "if False:"),
    Mutant("the part's tag, byte-equal", REPLIES, "if tags != [mark.etag]:", "if tags and tags != [mark.etag]:"),
    Mutant("no encoded part", REPLIES, 'if _coding(head) != "identity":', "if False:"),
    Mutant("no multipart", REPLIES, 'if any(kind.lower().startswith("multipart/")', 'if any(kind == "no"'),
    Mutant("the same origin", REPLIES, "if head.origin != mark.origin:", "if False:"),
    Mutant("no total of *", REPLIES, 'rf"bytes[ \\t]+({_NUMBER})-({_NUMBER})/({_NUMBER})"',
           'rf"bytes[ \\t]+({_NUMBER})-({_NUMBER})/\\*?({_NUMBER})?"'),
    Mutant("an unasked 206 is an error", REPLIES, 'which nobody asked for", passing=False)',
           'which nobody asked for", passing=True)'),
    Mutant("416 is complete only at the total", REPLIES, "int(match[1]) == mark.total == offset", "int(match[1]) == offset"),
    Mutant("416 is complete only for the total remembered", REPLIES, "int(match[1]) == mark.total == offset",
           "int(match[1]) == mark.total"),
    Mutant("404 is final", REPLIES, "frozenset({408,", "frozenset({404, 408,"),
    Mutant("503 passes", REPLIES, "500, 502, 503, 504})", "500, 502, 504})"),
    Mutant("Retry-After's junk is ignored", REPLIES, '_SECONDS = re.compile(r"[0-9]+")', '_SECONDS = re.compile(r"[0-9e]+")'),
    Mutant("Retry-After's dates count", REPLIES, "return max(0.0, date.timestamp() - now_s)", "return None"),
    Mutant("the byte after the last one is asked for", RESUMING, 'f"bytes={self._offset}-{', 'f"bytes={self._offset - 1}-{'),
    Mutant("If-Range is sent", RESUMING, ', "If-Range": self._mark.etag}', "}"),
    Mutant("identity is asked for", RESUMING, '"gzip" if self._compress else "identity"', '"gzip"'),
    Mutant("a 200 to a range starts over", RESUMING, "                            yield self._begin_anew(decision.etag)",
           "                            self._begin_anew(decision.etag)"),
    Mutant("what does not join starts over", RESUMING, "raise _Failed(problem, void=True)\n            case Begin",
           "raise _Failed(problem)\n            case Begin"),
    Mutant("changing content stops", RESUMING, "MAX_CHANGES = 2", "MAX_CHANGES = 9"),
    Mutant("one change is survived", RESUMING, "MAX_CHANGES = 2", "MAX_CHANGES = 1"),
    Mutant("a part is not longer than it says", RESUMING, "self._offset > body.end:", "False:"),
    Mutant("a part is not shorter than it says", RESUMING, "if self._offset < body.end:", "if False:"),
    Mutant("a part may hold less than asked", RESUMING, "return self._mark is not None and body.end == self._mark.total",
           "return True"),
    Mutant("gzip's end must be seen", RESUMING, "            decoder.finish()", "            pass"),
    Mutant("a body without framing ends with a row", RESUMING, "if rows and not body.framed and", "if False and"),
    Mutant("no HTTP is tried once more, no oftener", RESUMING, "MAX_PROTOCOL_ERRORS = 2", "MAX_PROTOCOL_ERRORS = 3"),
    Mutant("attempts are limited", RESUMING, "return self._failures >= most", "return self._failures >= 50"),
    Mutant("progress refills attempts", RESUMING, "self._failures = self._protocol_errors = self._outages = 0", "pass"),
    Mutant("bytes fetched again are no progress", RESUMING, "            self._furthest = self._offset\n", ""),
    Mutant("the total time is kept", RESUMING, "if wait_s >= watch.left_s:", "if False:"),
    Mutant("Retry-After is a minimum", RESUMING, "max(self._policy.wait_s(self._failures), failure.asked_s or 0.0)",
           "self._policy.wait_s(self._failures)"),
    Mutant("Retry-After is capped", RESUMING, "failure.asked_s > self._policy.max_retry_after_s", "False"),
    Mutant("no answer has a limit", RESUMING, "asyncio.timeout(min(self._limits.first_byte_s, left_s))", "asyncio.timeout(None)"),
    Mutant("void bytes are forgotten", RESUMING, "self._offset, self._mark, self._until = 0, None, None\n            return StartOver",
           "return StartOver"),
    Mutant("a stall is noticed", WATCHING, "if came < self._limits.min_rate * (now_s - since_s):", "if False:"),
    Mutant("a trickle is a stall", WATCHING, "if came < self._limits.min_rate * (now_s - since_s):", "if came < 1:"),
    Mutant("the total ends a body, too", WATCHING, "if self.left_s <= 0:", "if False:"),
    Mutant("our own waiting is no stall", WATCHING, "if not self.waiting:", "if False:"),
    Mutant("our own waiting is not in the total", WATCHING, "self._own_s += self._tick_s", "pass"),
    Mutant("all members are read", GUNZIP, "rest = self._member.unused_data", 'rest = b""'),
    Mutant("junk after the end is an error", GUNZIP, 'raise BadCompression(f"something else {where}", passing=True)', "return"),
    Mutant("output is capped", GUNZIP, "if self.made > limits.max_bytes:", "if False:"),
    Mutant("the ratio is capped", GUNZIP, "if self.made > limits.free_bytes and", "if False and"),
    Mutant("tiny members are capped", GUNZIP, "if self.members > limits.free_members and", "if False and"),
    Mutant("output comes in steps", GUNZIP, "decompress(rest, STEP_BYTES)", "decompress(rest)"),
    Mutant("an outage counts once", RESUMING, "        self._failures -= 1\n", ""),
    Mutant("a download that alone is refused has its attempts", RESUMING, "return self._outages >= most or backoff.is_hopeless",
           "return backoff.is_hopeless"),
    Mutant("an outage has an end", RESUMING, "return self._outages >= most or backoff.is_hopeless", "return self._outages >= most"),
    Mutant("attempts that are given are the limit", RESUMING, "or self._policy.attempts is not None or not backoff", "or not backoff"),
    Mutant("one asks for all", BACKOFF, "                self._next_s = loop.time() + LEASE_S\n", ""),
    Mutant("an answer lets all ask", BACKOFF, "self._changed.set()  # whoever", "# whoever"),
    Mutant("the waits grow for all", BACKOFF, "else max(failures, self._failures)", "else failures"),
    Mutant("a broken connection is looked into by one", BACKOFF, "        if self._next_s is None:\n            self._next_s = async",
           "        if False:\n            self._next_s = async"),
    Mutant("what the server asked for holds", BACKOFF, "self._open_at(self._asked_until_s if later else None)", "self._open_at(None)"),
    Mutant("a dead server is not waited for by each in turn", BACKOFF, "is not None and not self.is_hopeless:", "is not None:"),
    Mutant("slow down is an outage", "errors.py", "OUTAGE_STATUSES = frozenset({429, ", "OUTAGE_STATUSES = frozenset({"),
    Mutant("discovery keeps to the concurrency", "sources/export_api.py", "for _ in range(self._concurrency):", "for _ in range(8):"),
    Mutant("discovery shares the back-off", "sources/export_api.py", "rows=rows, backoff=self._backoff", "rows=rows"),
    Mutant("a finished download that has changed is fetched anew", RECHECKING, "if not changed:", "if True:"),
    Mutant("what is merged with it is, too", RECHECKING, "changed.isdisjoint(range(run.start, run.end))", "run.start not in changed"),
    Mutant("a server that is away costs no checkpoint", RECHECKING, "                    raise\n", "                    pass\n"),
    Mutant("a kept file that has changed is fetched anew", SAVING, "if listed.version is None:", "if True:"),
    Mutant("a kept file's version is noted", SAVING, "version=version,", "version=None,"),
    Mutant("a date and a length are a version", STREAMS, "elif modified is not None:", "elif False:"),
    Mutant("the length belongs to it", STREAMS, "modified if length is None else", "modified if True else"),
    Mutant("a list without an end is not whole", RESUMING, "if stream.framed or shows_end(body):", "if True:"),
    Mutant("a list of lines shows no end", "sources/metadata.py", ' != b"{":', ' == b"#":'),
    Mutant("what is compressed has no mark", "unpacking/stream.py", "yield opened if decoder is None else", "yield opened if True else"),
    Mutant("what begins in the middle is not unpacked", "unpacking/stream.py", "isinstance(piece, Resumed) and not start", "False"),
    Mutant("what has a digest has no mark", "sources/proving.py", "self._sha256 is None and opened", "opened"),
    Mutant("a length that differs is no mark", "sources/proving.py", "opened.mark.total == self._sent_bytes", "True"),
    Mutant("a refused range starts over", REPLIES, "frozenset({400, 403, 412, 501})", "frozenset({400, 412, 501})"),
    Mutant("without ranges nothing goes on", RESUMING, "replace(decision, mark=None) if self._no_parts else decision", "decision"),
    Mutant("a 200 with the range of a part is no whole", REPLIES, "if ranges and not all(map(_covers_all, ranges)):", "if False:"),
    Mutant("no coding is no coding", REPLIES, '"binary", "aws-chunked"})', '"binary"})'),
    Mutant("a .gz file's coding is its own", REPLIES, "if len(codings) == 1 and codings[0] in own:", "if False:"),
    Mutant("a tag that was there before is a mirror's", RESUMING, "if etag not in self._tags:\n            self._tags.add(etag)",
           "if etag != before:\n            self._tags.add(etag + str(len(self._tags)))"),
    Mutant("a redirect is followed byte for byte", HTTP, 'safe=_ASCII, errors="surrogateescape"), encoded=True)',
           'safe=_ASCII, errors="surrogateescape"))'),
    Mutant("an absolute path is not resolved", HTTP, 'elif location.startswith("/") and not', "elif False and not"),
    Mutant("header lines of 32 KiB are fine", HTTP, "MAX_FIELD_BYTES = 33 * 1024", "MAX_FIELD_BYTES = 8190"),
    Mutant("secrets stay with their origin", HTTP, "secrets if _origin(at) == origin else {}", "secrets"),
    Mutant("certificates stay with their origin", HTTP, "self._ssl if own else self._ssl_elsewhere", "self._ssl"),
    Mutant("no passphrase is asked for", HTTP, "(cert, self.key, passphrase)", "(cert, self.key, lambda: '1234')"),
    Mutant("an authority that is not known is told", FAULTS, "frozenset({2, 18, 19, 20, 21})", "frozenset()"),
    Mutant("a certificate's date is told", FAULTS, "_NOT_YET_VALID, _EXPIRED,", "_EXPIRED, _NOT_YET_VALID,"),
    Mutant("a certificate's name is told", FAULTS, "frozenset({62, 64})", "frozenset()"),
    Mutant("what is no TLS is told", FAULTS, '"WRONG_VERSION_NUMBER", ', ""),
    Mutant("a server that answers is running", FAULTS, "silent=tls is None", "silent=True"),
    Mutant("statuses name what helps", REPLIES, "if status in _REMEDIES else", "if False else"),
    Mutant("options may stand before the command", "cli/arguments.py", "if place < len(given) and given[place] in COMMANDS:", "if False:"),
    Mutant("an option's value is no command", "cli/arguments.py", "2 if given[place] in taking else 1", "1"),
    Mutant("what is said with an unknown option is not repeated", "cli/arguments.py", "' '.join(map(given_url, repeated))", "' '.join(unknown)"),
    Mutant("a usage error repeats no secret", "cli/parser.py", "super().error(shown(message))", "super().error(message)"),
    Mutant("help tells first what matters", "cli/parser.py", "if self._first and long_name not in self._first:", "if False:"),
    Mutant("quiet is quiet", "cli/text.py", "if not _quiet:", "if True:"),
    Mutant("anomalies of a course are exact", "reducers/course.py", "not low <= value <= high", "not low < value < high"),
    Mutant("the shortest pieces that fit", "reducers/course.py", "len(self.counts) > MAX_ENTRIES and", "len(self.counts) > MAX_ENTRIES // 2 and"),
    Mutant("no line is drawn over a gap", "report/courses.py", "if run and piece.hour != run[-1].hour + hours:", "if False:"),
    Mutant("what ends a script is no end in its data", "report/markup.py", '.replace("<", "\\\\u003c")', ""),
    Mutant("an error's message shows no secret", "errors.py", "super().__init__(shown(message))", "super().__init__(message)"),
    Mutant("a server lists some of its names", "errors.py", "shown_list(self.available) or", "', '.join(available) or"),
    Mutant("a password may hold a slash", "shown.py", 'elif "@" in rest and', "elif False and"),
    Mutant("a query is not shown", "shown.py", 'r"\\1***", path', 'r"\\g<0>", path'),
    Mutant("URLs in sentences are seen to", "shown.py", "printable(_URL.sub(_public, text))", "printable(text)"),
    Mutant("URLs without a space between are seen to", "shown.py", "(?={_SCHEME}//|", "(?="),
    Mutant("sequences are taken out whole", "shown.py", '_SEQUENCES.sub("", text)', "text"),
    Mutant("a string without an end hides nothing", "shown.py", "(?:\\x07|\\x1b\\\\|\\x9c)", "(?:\\x07|\\x1b\\\\|\\x9c)?"),
    Mutant("what a server says is cut", "shown.py", 'printable(text if len(text) <= MAX_FOREIGN else f"{text[:MAX_FOREIGN]}…")', "printable(text)"),
    Mutant("errors of aiohttp lose their requests", FAULTS, "        _forget_secrets(error)\n", "        pass\n"),
    Mutant("a manifest's repr shows no URL", "sources/manifest.py", "url: str = field(repr=False)", "url: str"),
    Mutant("CSV on a terminal does not steer it", "cli/faces.py", "if on_terminal else [text]", "if False else [text]"),
    Mutant("addresses are looked at when they are connected to", HTTP, "socket_factory=opener", "socket_factory=None"),
    Mutant("a proxy is asked for no link-local address", HTTP, 'and is_refused(at.raw_host or "")', "and False"),
    Mutant("other spellings of IPv4 are known", "sources/addresses.py", "socket.inet_aton(text)", 'socket.inet_aton("0.0.0.1")'),
    Mutant("IPv4 within IPv6 is known", "sources/addresses.py", "filter(None, (ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())))", "()"),
    Mutant("translated IPv4 is known", "sources/addresses.py", "if any(ip in network for network in _TRANSLATED):", "if False:"),
    Mutant("zones are no part of an address", "sources/addresses.py", '.partition("%")[0]', ""),
    Mutant("the clouds' own addresses are known", "sources/addresses.py", " or meant in _CLOUDS", ""),
    Mutant("a listing is not written through a link", "sources/listing.py", "LISTING, named=False)", "LISTING)"),
    Mutant("notes are not written through a link", SAVING, 'os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)', "os.O_APPEND"),
    Mutant("a local cluster has keys", "distributed/clusters.py", "security=security, dashboard_address", "dashboard_address"),
    Mutant("a local cluster has no pages", "distributed/clusters.py", "for key in PAGES", "for key in ()"),
    Mutant("an address that takes keys gets some", "distributed/clusters.py", "if address.startswith(_WITH_KEYS) and not", "if False and not"),
    Mutant("waiting for workers is told", "distributed/crew.py", "                    if wanted is None:\n", "                    if False:\n"),
    Mutant("why a task failed is told", "distributed/crew.py", ": {foreign(str(error))})", ")"),
    Mutant("keys that cannot be used are named", "distributed/keys.py", "Access(cacert=ca, cert=cert, key=key).ssl_context()", "pass"),
    Mutant("keys are made without the package, too", "distributed/keys.py", "if command is None else subprocess", "if True else subprocess"),
    Mutant("what cannot be sent is told", "distributed/tasks.py", "        except Exception as error:  # whatever", "        except OSError as error:  # whatever"),
    Mutant("a list outside its block says so", "sources/url_list.py", "        self._client.require_open(self.name)\n", ""),
    Mutant("a full disk under the events is told by its file", "events.py", "except OSError as fault:", "except KeyError as fault:"),
    Mutant("a server without descriptors says so", "server/run.py", "loop.set_exception_handler(_TellingOfLimits())", "pass"),
    Mutant("and in one line", "server/run.py", "self._next_s = loop.time() + TELL_EVERY_S", "pass"),
    Mutant("a long run says how far it is", "cli/progress.py", "if self._now() >= self._next_s:", "if False:"),
    Mutant("and not more than every half minute", "cli/progress.py", "self._next_s = self._now() + LINE_EVERY_S", "pass"),
    Mutant("a folder is not made through a link", "newfile.py", '"it is a link that leads nowhere" if lost else', ""),
    Mutant("the nearest word is named", "errors.py", "difflib.get_close_matches(text, known, 1, alike)", "()"),
    Mutant("a redirect's credentials are nobody's", HTTP, "at.with_user(None),", "at,"),
    Mutant("five redirects", HTTP, "MAX_REDIRECTS = 5", "MAX_REDIRECTS = 6"),
    Mutant("file: is refused", HTTP, 'target.scheme not in ("http", "https")', 'target.scheme == "ftp"'),
    Mutant("link-local is refused", "sources/addresses.py", "meant.is_link_local or", "False or"),
    Mutant("names are looked up for a session of the caller's", HTTP, "if any(is_refused(str(address[4][0])) for address in found):", "if False:"),
    Mutant("aiohttp does not decode", HTTP, "auto_decompress=False", "auto_decompress=True"),
    Mutant("a start-over begins with a fresh state", DOWNLOAD, "        self._void_bytes = self._fetched_bytes\n        self.begin()\n", "        self._void_bytes = self._fetched_bytes\n"),
    Mutant("a failed download contributes nothing", LEDGER, "if verdict.complete or (verdict.counts and not self.keeps_apart):", "if True:"),
    Mutant("stop skips the others", PRODUCERS, "                raise Stopped\n", "                pass\n"),
    Mutant("a cancelled run saves", RUN, "        except BaseException:\n            self._ledger.save_now()",
           "        except BaseException:\n            pass"),
    Mutant("saved is what is folded, not what is received", PRODUCERS, "            run.chunk_put()\n", "            run.chunk_put()\n            run.fold.offset = chunk.end\n"),
    Mutant("what was restored is merged in", SPAN,
           "self._reducer.merge(load_state(self._reducer, self._begun.state), self.fold.state)", "self.fold.state"),
    Mutant("what was restored is in the tally", SPAN, "        tally.merge(self.fold.tally)\n        return tally",
           "        return self.fold.tally"),
    Mutant("finished downloads are not fetched again", RUN, "if at[1].id not in self._ledger.accounts]", "]"),
    Mutant("failed downloads are not kept", LEDGER, "self.accounts.items() if account.verdict.complete}", "self.accounts.items()}"),
    Mutant("a span ends with the row that its last byte belongs to", CUTTING, "self.end - 1 - self.at", "self.end - self.at"),
    Mutant("a span leaves the row before it alone", CUTTING, "self._seeking = not found", "self._seeking = False"),
    Mutant("lines count on over spans", RANGES, "lines=earlier.lines)", "lines=0)"),
    Mutant("a complete run removes its checkpoint", LEDGER, "self._checkpoint.remove()", "pass"),
    Mutant("an unwritable checkpoint is known at once", LEDGER, "better known before the morning is over.\n        self.save_now()",
           "better known before the morning is over."),
    Mutant("a checkpoint belongs to its data", CHECKPOINT, "if other.downloads != self.downloads:", "if False:"),
    Mutant("a checkpoint belongs to its options", CHECKPOINT, "if other.columns != self.columns:", "if False:"),
    Mutant("a checkpoint belongs to its statistics", CHECKPOINT, "if other.reducer != self.reducer:", "if False:"),
    Mutant("a checkpoint belongs to its version", CHECKPOINT, "if other.version != self.version:", "if False:"),
    Mutant("a checkpoint belongs to its source", CHECKPOINT, "if other.source != self.source:", "if False:"),
    Mutant("a damaged checkpoint is refused", CHECKPOINT, "if head != _MAGIC + hashlib.sha256(payload).digest():", "if False:"),
    Mutant("a part has the digest that was noted", PARTIAL, "if self._digest.hexdigest() != left.file.sha256:", "if False:"),
    Mutant("a part is cut off where its note ends", PARTIAL, "self._file.truncate(self._size)", "pass"),
    Mutant("a part is no link", PARTIAL, 'getattr(os, "O_NOFOLLOW", 0)', "0"),
    Mutant("a part has a strong tag", PARTIAL, "is_strong(note.mark.etag)", "True"),
    Mutant("a part has a total", SAVING, "if mark is not None and mark.total is not None:", "if mark is not None:"),
    Mutant("a part belongs to what is announced", SAVING, " or not _describes(note.file, download)", ""),
    Mutant("a part belongs to its export", SAVING, "self._refuse_other(note.export_id, export_id)", "pass"),
    Mutant("a part is of the same content", SAVING, "        self._left = self._version = None\n", ""),
    Mutant("a part that broke off is left", SAVING, " and not self._broken_off:", ":"),
    Mutant("a part that failed at its end is not left", SAVING, "self._partial.discard()", "self._partial.leave()"),
    Mutant("a part's difference is no verdict", PRODUCERS, "VerdictKind.MISMATCH and read.kept", "VerdictKind.MISMATCH and False"),
    Mutant("a part that is void is no failure", RESUMING, "+= not (failure.void and self._inherited)", "+= 1"),
    Mutant("a part's bytes are not fetched", SPAN, "self.cutter.received - self.kept", "self.cutter.received"),
    Mutant("a part is noted when a run is broken off", PARTIAL, "            if self._left is None:\n                with",
           "            if False:\n                with"),
    Mutant("a part is noted on the way", PARTIAL, "if time.monotonic() - self._noted_s >= self._every_s:", "if False:"),
    Mutant("no part is left by a run that ended well", SAVING, "        sweep(self.directory, self._names.values())\n", ""),
    Mutant("failed positions stay free", "pipeline/ranges.py", "        self._apart[position] = value", "        self.add(position, position + 1, value)"),
    Mutant("a filter asks for ids alone", "formats/filters.py", "            check_id(text)\n", "            pass\n"),
    Mutant("surrogates count as bytes of an id", "formats/fields.py", 'errors="surrogatepass"', 'errors="ignore"'),
    Mutant("rules are for event types alone", "reducers/rules.py", "            check_id(event_type)\n            event_type.encode()",
           "            event_type.encode()"),
    Mutant("rules' event types are UTF-8", "reducers/rules.py", "            event_type.encode()\n", ""),
    Mutant("a state's ids are ids", PROTOCOL, "            check_id(text)\n", ""),
    Mutant("a state's groups are in order, and no two the same", PROTOCOL, "if key <= before:", "if key < before:"),
    Mutant("a state's groups ascend", PROTOCOL, "if key <= before:", "if key == before:"),
    Mutant("a state that cannot be read is told", PROTOCOL, "    except Exception as error:", "    except KeyError as error:"),
    Mutant("a packed state's ids are ids", "reducers/packing.py", "            check_id(text)\n", "            pass\n"),
    Mutant("a packed state's ids ascend", "reducers/packing.py", "later <= earlier for earlier, later in pairwise(ids)", "later < earlier for earlier, later in pairwise(ids)"),
    Mutant("a packed state's groups ascend", "reducers/packing.py", "later <= earlier for earlier, later in pairwise(keys)", "later < earlier for earlier, later in pairwise(keys)"),
    Mutant("a packed state's ids are in use", "reducers/packing.py", "if set(column) != set(range(len(ids))):", "if not set(column) <= set(range(len(ids))):"),
    Mutant("a packed state has an end", "reducers/packing.py", "if columns.left:", "if False:"),
    Mutant("a count does not wrap", PROTOCOL, "0 < number <= MAX_COUNT", "0 < number"),
    Mutant("a count is a count", PROTOCOL, "0 < number <= MAX_COUNT", "number <= MAX_COUNT"),
    Mutant("what is counted is as much as the values", PROTOCOL, "if sum(counts.values()) != count:", "if False:"),
    Mutant("what is rounded is noted", "formats/values.py", "Noted.ROUNDED if rounded else None", "None"),
    Mutant("a rest of zeros is not rounded", "formats/fields.py", 'tail.strip("0") != ""', "True"),
    Mutant("half goes to even", "formats/fields.py", "(scaled % 2 == 1) if half", "True if half"),
    Mutant("values have an end", "formats/fields.py", "if scaled > MAX_VALUE * VALUE_SCALE:", "if False:"),
    Mutant("what is counted is integers", PROTOCOL, "all(type(key) is int and abs(key) < most for key in counts)", "all(True for key in counts)"),
    Mutant("values are near zero", "reducers/summary.py", "if not -MAX_VALUE_SIZE <= group.low <= group.high <= MAX_VALUE_SIZE:", "if group.low > group.high:"),
    Mutant("times are near zero", "reducers/summary.py", "if not -MAX_SIZE <= group.first_us <= group.last_us <= MAX_SIZE:",
           "if group.first_us > group.last_us:"),
    Mutant("a sum is one of the values", "reducers/summary.py", "if not group.count * group.low <= group.total <=", "if not group.total <="),
    Mutant("anomalies are values", "reducers/summary.py", "if not 0 <= group.anomalies <= group.count:", "if group.anomalies < 0:"),
    Mutant("families are as they are written", "reducers/selection.py", "if held.to_plain() != plain:", "if False:"),
    Mutant("squares are those of the values", "reducers/spread.py", "if not total * total <= count * self.total <=", "if not count * self.total <="),
    Mutant("squares are not beyond all values", "reducers/spread.py", " <= count * count * MAX_VALUE_SIZE**2:", ":"),
    Mutant("room for bodies is limited", BODIES, "elif self._held_bytes > self._room_bytes:", "elif False:"),
    Mutant("a peer has a part of the room", BODIES, "// _PEER_SHARE", "* _PEER_SHARE"),
    Mutant("the slowest body goes first", BODIES, "slowest = min(choice", "slowest = max(choice"),
    Mutant("a pace forgets", BODIES, "/ _LATELY_S)", "* 0)"),
    Mutant("a whole body stays", BODIES, "                    if not more:\n                        self._arriving.discard(arriving)\n", ""),
    Mutant("room is given back", BODIES, "                self._give_back(peer, arriving.size)", "                pass"),
    Mutant("the loop's lag counts", ADMISSION, "self.oldest_age_s(now) + lag_s > TARGET_S", "self.oldest_age_s(now) > TARGET_S"),
    Mutant("the oldest's age counts", ADMISSION, "self.oldest_age_s(now) + lag_s > TARGET_S", "lag_s > TARGET_S"),
    Mutant("a fall is given time to show", ADMISSION, "if now - self._fell >= TARGET_S:", "if True:"),
    Mutant("nobody refused, no rise", ADMISSION, "elif self.refused > self._refused_before:", "else:"),
    Mutant("some are always let in", ADMISSION, "max(FEWEST, min(", "max(0, min("),
    Mutant("a batch counts by its size", ADMISSION, "1 + body_bytes // BYTES_OF_ONE", "1"),
    Mutant("the limit rises", ADMISSION, "self.limit * _RISE + 1", "self.limit"),
    Mutant("refusals have a pace", REFUSALS, "while self._queue and self._allowed >= 1:", "while self._queue:"),
    Mutant("two lengths are for the parser", REFUSALS, 'head.count(b"content-length") != 1', "False"),
    Mutant("chunks are for the parser", REFUSALS, 'b"transfer-encoding" in head', "False"),
    Mutant("only what is whole is refused unread", REFUSALS, "end >= 0 and len(data) == end", "end >= 0 and len(data) >= end"),
    Mutant("a turn takes up all that wait", ACCEPTING, "            self._judge(accepted, 1)\n", "            self._judge(accepted, 1)\n            return\n"),
    Mutant("what came before a connection is taken up counts", ACCEPTING, "                made.begin_with(*first)", "                made.begin_with(b\"\", first[1])"),
    Mutant("a refusal at once is for who heeds the last", WIRE, "heeded = now - self._refused_at >= RETRY_AFTER_S", "heeded = False"),
    Mutant("who does not heed it waits", WIRE, "heeded = now - self._refused_at >= RETRY_AFTER_S", "heeded = True"),
    Mutant("what is admitted at the door counts there", ACCEPTING, "(data, self._entrance.begin(len(data)))", "(data, None)"),
    Mutant("a new connection is refused by its bytes", ACCEPTING, "            if not is_whole_post(data):", "            if True:"),
    Mutant("half a request is not under way", WIRE, "            self._admitted = self._entrance.begin(self._body_bytes)\n        super().on_message_complete()",
           "            pass\n        super().on_message_complete()"),
    Mutant("what was under way is given back", WIRE, "            self._admitted = None\n", ""),
    Mutant("a refusal is said once", WIRE, "        self._refusal_due = False\n        self._refused_at = self", "        self._refused_at = self"),
    Mutant("half a request is told of the end", WIRE, "            self.transport.write(_STOPPING)\n", ""),
    Mutant("places are scarce", WIRE, "                connection.give_way()", "                pass"),
    Mutant("long questions give way", "ingest/queries.py", "                self.lanes.give_way()\n", ""),
    Mutant("long questions give way for a while", "ingest/lanes.py", "self._no_short_one.wait(PATIENCE_S)", "self._no_short_one.wait()"),
    Mutant("a question costs its own days", "ingest/queries.py", "file.rows * within // ((last - first + 1) * file.users)", "file.rows // file.users"),
    Mutant("between two batches the loop turns", "ingest/application.py", "                await asyncio.sleep(0)\n", ""),
    Mutant("a pass stops between days", COMPACTION, "        if self._closing:", "        if False:"),
]  # fmt: skip


def survives(mutant: Mutant) -> str | None:
    """Run the tests against a mutant; return what is wrong if it is not killed."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("mockexport", "tests", "pyproject.toml"):
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy / name)
        path = copy / "mockexport" / mutant.file
        text = path.read_text()
        if text.count(mutant.old) != 1:
            return f"its text is there {text.count(mutant.old)} times"
        path.write_text(text.replace(mutant.old, mutant.new))
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider", *TESTS[mutant.file]]
        environment = {**os.environ, "PYTHONPATH": str(copy)}
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, timeout=300)
        if done.returncode == 0:
            return "the tests pass"
        return None if done.returncode == 1 else f"pytest ended with {done.returncode}: {done.stdout[-300:]}"


def main() -> int:
    """Play all mutants, or those whose rule holds a word."""
    parser = argparse.ArgumentParser(description="Break each rule once.")
    parser.add_argument("--only", default="")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if options.only in mutant.rule]
    alive = 0
    with ThreadPoolExecutor(options.processes) as pool:
        for mutant, problem in zip(chosen, pool.map(survives, chosen), strict=True):
            alive += problem is not None
            sys.stdout.write(f"{'killed  ' if problem is None else 'SURVIVED'} {mutant.rule}")
            sys.stdout.write("\n" if problem is None else f": {problem}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{len(chosen) - alive} of {len(chosen)} killed\n")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())

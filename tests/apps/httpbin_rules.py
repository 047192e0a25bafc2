"""`python httpbin_rules.py < JSON`: every rule of httpbin's URL map, asked with every method, with or without a pass; what was answered, as JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import httpbin
from httpbin_gate import wrap

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND")
BROWSER = {"Accept": "text/html,application/xhtml+xml"}
PROGRAM = {"Accept": "application/json"}
FORM = {**BROWSER, "Content-Type": "application/x-www-form-urlencoded"}
# Rules whose answer takes time, or depends on it, get what ends soon.
VALUES = {"delay": "0", "codes": "200", "value": "1", "algorithm": "MD5", "qop": "auth"}


def rules() -> list[Any]:
    return list(httpbin.app.url_map.iter_rules())


def path_of(rule: Any) -> str:
    """The rule with its variables filled in, by Werkzeug's own builder."""
    domain_and_path = rule.build({name: VALUES.get(name, "1") for name in rule.arguments})
    return str(domain_and_path[1])


def main() -> None:
    given = json.load(sys.stdin)
    inside, _outside = wrap(given["code"], verified=given["verified"])
    client = httpbin.app.test_client()
    answers = []
    for rule in rules():
        for method in METHODS:
            for who, headers in (("browser", FORM if method == "POST" else BROWSER), ("program", PROGRAM)):
                before = inside.calls
                response = client.open(path_of(rule), method=method, headers=headers, data=b"a=b" if headers is FORM else None)
                said = [response.headers.get(name, "") for name in ("Location", "Content-Type", "WWW-Authenticate")]
                answers.append([str(rule), method, who, method in rule.methods, response.status_code, *said, inside.calls - before])
                response.close()
    json.dump({"rules": len(rules()), "answers": answers}, sys.stdout)


if __name__ == "__main__":
    main()

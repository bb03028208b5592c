"""A sandbox in a browser's reach: what a web page, a rebound name and a strange state folder cannot do."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import pickle
import re
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.cli.main import main
from airflow_distill.cli.sandbox import token_file
from airflow_distill.sandbox import Sandbox
from airflow_distill.sandbox.failures import SandboxUsageError
from airflow_distill.sandbox.traffic import support_tickets

EVIL = {"Origin": "https://evil.example"}
SIGNED = "AWS4-HMAC-SHA256 Credential=AKIAX/20261130/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=0"
SECOND = b"GET /_sandbox/health HTTP/1.1\r\nHost: localhost\r\n\r\n"
"""A request that a smuggler would like to be read."""

ADMIN = [
    ("POST", "/_sandbox/reset", b"{}"),
    ("POST", "/_sandbox/options", b"{}"),
    ("POST", "/_sandbox/clock", b'{"advance": 86400}'),
    ("POST", "/_sandbox/teacher", b'{"pairs": null}'),
    ("POST", "/_sandbox/faults", b'{"kind": "throttle"}'),
    ("DELETE", "/_sandbox/faults", b""),
    ("GET", "/_sandbox/status", b""),
    ("GET", "/_sandbox/meter", b""),
    ("POST", "/moto-api/reset", b""),
    ("GET", "/moto-api/data.json", b""),
]


def ask(
    sandbox: Sandbox, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", sandbox.port, timeout=20)
    try:
        connection.request(method, path, body=body or None, headers=dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def send(sandbox: Sandbox, raw: bytes) -> bytes:
    """Raw bytes, and whatever comes back until the line is closed or silent."""
    answer = b""
    with socket.create_connection(("127.0.0.1", sandbox.port), 5) as line:
        line.sendall(raw)
        line.settimeout(1.0)
        try:
            while part := line.recv(65_536):
                answer += part
        except TimeoutError:
            pass
    return answer


@pytest.fixture
def logged(bedrock_sandbox: Sandbox, bedrock_role: str) -> Sandbox:
    """A sandbox with a logged prompt in its bucket."""
    bedrock_sandbox.enable_logging()
    bedrock_sandbox.client("bedrock-runtime").converse(
        modelId="amazon.nova-pro-v1:0",
        messages=[{"role": "user", "content": [{"text": "my secret question"}]}],
    )
    bedrock_sandbox.flush_logs()
    return bedrock_sandbox


def test_a_page_of_another_site_reads_and_writes_nothing(logged: Sandbox) -> None:
    s3 = logged.client("s3")
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket="distill-sandbox")["Contents"]]
    assert any(
        b"secret" in gzip.decompress(body)
        for key in keys
        if (body := s3.get_object(Bucket="distill-sandbox", Key=key)["Body"].read())[:2] == b"\x1f\x8b"
    )
    scope = "x/20261130/us-east-1/s3/aws4_request"
    presigned = f"?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={scope}&X-Amz-SignedHeaders=host&X-Amz-Signature=0"
    attempts = [("GET", "/"), ("GET", "/distill-sandbox?list-type=2"), ("PUT", "/distill-sandbox/evil.txt")]
    attempts += [("GET", f"/distill-sandbox/{key}{query}") for key in keys for query in ("", presigned)]
    attempts += [("OPTIONS", "/distill-sandbox/evil.txt"), ("OPTIONS", "/_sandbox/reset")]
    for headers in (EVIL, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        for method, path in attempts:
            status, answered, body = ask(logged, method, path, b"x" if method == "PUT" else b"", headers)
            assert status == 403, (method, path)
            assert not [name for name in answered if name.startswith("access-control")]
            assert b"secret" not in body
    assert "evil.txt" not in str(s3.list_objects_v2(Bucket="distill-sandbox"))


def test_no_answer_invites_other_sites(bedrock_sandbox: Sandbox) -> None:
    """Also to a program that sends no origin: moto's own CORS is off."""
    bedrock_sandbox.client("s3").create_bucket(Bucket="mine")
    for path in ("/", "/mine?list-type=2", "/_sandbox/health"):
        status, answered, _ = ask(bedrock_sandbox, "GET", path)
        assert status == 200
        assert not [name for name in answered if name.startswith("access-control")]


@pytest.mark.parametrize(
    "host", ["rebound.evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "0.0.0.0"]
)
def test_a_name_rebound_to_this_machine_gets_no_answer(logged: Sandbox, host: str) -> None:
    headers = {"Host": host, "Authorization": SIGNED, "Content-Type": "application/json"}
    body = json.dumps({"messages": [{"role": "user", "content": [{"text": "my secret question"}]}]}).encode()
    for method, path in (
        ("POST", "/model/amazon.nova-pro-v1:0/converse"),
        ("GET", "/_sandbox/status"),
        ("GET", "/"),
    ):
        status, _, answer = ask(logged, method, path, body if method == "POST" else b"", headers)
        assert status == 403
        assert b"Host" in answer


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "LOCALHOST:8787", "[::1]:8787", "mine.localhost:8787"]
)
def test_this_machine_is_known_under_its_own_names(bedrock_sandbox: Sandbox, host: str) -> None:
    assert ask(bedrock_sandbox, "GET", "/_sandbox/health", headers={"Host": host})[0] == 200


@pytest.mark.parametrize(("method", "path", "body"), ADMIN)
def test_steering_needs_the_token(logged: Sandbox, method: str, path: str, body: bytes) -> None:
    before = logged.client("s3").list_objects_v2(Bucket="distill-sandbox")["KeyCount"]
    now = logged.clock.now()
    json_type = {"Content-Type": "application/json"}
    for headers in (
        {},
        json_type,
        {**json_type, "X-Sandbox-Token": "guess"},
        {**json_type, "X-Sandbox-Token": "é"},
    ):
        encoded = {name: value.encode("utf-8").decode("latin-1") for name, value in headers.items()}
        assert ask(logged, method, path, body, encoded)[0] == 403
    assert logged.client("s3").list_objects_v2(Bucket="distill-sandbox")["KeyCount"] == before
    assert (logged.clock.now() - now).total_seconds() < 60
    assert logged.faults.listed() == []


def test_steering_takes_json_only_and_health_is_free(bedrock_sandbox: Sandbox) -> None:
    token = {"X-Sandbox-Token": bedrock_sandbox.admin_token}
    plain = {**token, "Content-Type": "text/plain"}
    assert ask(bedrock_sandbox, "POST", "/_sandbox/clock", b'{"advance": 1}', plain)[0] == 415
    sent = {**token, "Content-Type": "application/json; charset=utf-8"}
    assert ask(bedrock_sandbox, "POST", "/_sandbox/clock", b'{"advance": 1}', sent)[0] == 200
    assert ask(bedrock_sandbox, "POST", "/_sandbox/options", b"[" * 200_000, sent)[0] == 400
    assert ask(bedrock_sandbox, "GET", "/_sandbox/health")[0] == 200
    assert ask(bedrock_sandbox, "GET", "/moto-api/", headers=token)[0] == 200


def test_no_file_of_the_local_disk_is_opened_over_http(bedrock_sandbox: Sandbox, tmp_path: Path) -> None:
    """Not even with the token: and what is said does not tell whether the file is there."""
    secret = tmp_path / "secret.csv"
    secret.write_text("text,category\nwhat is the code,THE-LOCAL-FILE-SECRET\n")
    headers = {"X-Sandbox-Token": bedrock_sandbox.admin_token, "Content-Type": "application/json"}
    answers = []
    for body in (
        {"path": str(secret)},
        {"path": "/nonexistent"},
        {"pairs": str(secret)},
        {"pairs": None, "path": "/x"},
    ):
        status, _, answer = ask(
            bedrock_sandbox, "POST", "/_sandbox/teacher", json.dumps(body).encode(), headers
        )
        assert status == 400
        answers.append(answer)
    assert answers[0] == answers[1]
    pairs = {"pairs": [{"prompt": "what is the code", "completion": "known"}]}
    assert ask(bedrock_sandbox, "POST", "/_sandbox/teacher", json.dumps(pairs).encode(), headers)[0] == 200


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}" + SECOND,
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SECOND,
        b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n-1\r\nAAAA",
        b"Transfer-Encoding: chunked\r\n\r\n+1\r\nA\r\n0\r\n\r\n",
        b"Content-Length: \xb2\r\n\r\n",
        b"Content-Length: -1\r\n\r\n",
        b"Content-Length: 99999999999\r\n\r\n",
    ],
)
def test_a_body_whose_length_is_unclear_is_one_bad_request(bedrock_sandbox: Sandbox, body: bytes) -> None:
    answer = send(bedrock_sandbox, b"POST /_sandbox/health HTTP/1.1\r\nHost: localhost\r\n" + body)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.startswith(b"HTTP/1.1 400")


def test_lengths_that_are_only_claimed_take_no_memory_and_no_answer_away(bedrock_sandbox: Sandbox) -> None:
    head = b"POST /_sandbox/options HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000000000\r\n\r\n"
    lines = [socket.create_connection(("127.0.0.1", bedrock_sandbox.port)) for _ in range(50)]
    try:
        for line in lines:
            line.sendall(head)
        assert ask(bedrock_sandbox, "GET", "/_sandbox/health")[0] == 200
        assert threading.active_count() < 200
    finally:
        for line in lines:
            line.close()


# --- the command line ------------------------------------------------------------------------------------------------


def test_a_command_without_the_token_is_told_where_to_get_it(
    bedrock_sandbox: Sandbox,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.delenv("AIRFLOW_DISTILL_SANDBOX_TOKEN", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    url = bedrock_sandbox.endpoint_url
    assert main(["sandbox", "status", "--url", url]) == 2
    assert "AIRFLOW_DISTILL_SANDBOX_TOKEN" in capsys.readouterr().err
    ready = tmp_path / "ready.json"
    ready.write_text(json.dumps({"token": bedrock_sandbox.admin_token}))
    assert main(["sandbox", "status", "--url", url, "--ready-file", str(ready)]) == 0
    left = token_file(url)
    assert left is not None
    left.parent.mkdir(parents=True)
    left.write_text(ready.read_text())
    assert main(["sandbox", "meter", "--url", url]) == 0


# --- the state folder ------------------------------------------------------------------------------------------------


class Shell:
    """What a hostile pickle would run."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.target}",)


def dotted(target: Path) -> bytes:
    """A pickle that reaches `os.system` as an attribute of a module of ours."""
    call = f"touch {target}".encode()
    return (
        b"\x80\x04\x8c\x1eairflow_distill.sandbox.admin\x8c\x09os.system\x93\x8c"
        + bytes([len(call)])
        + call
        + b"\x85R."
    ).replace(b"\x8c\x1eairflow", b"\x8c\x1dairflow")


@pytest.mark.parametrize("name", ["bedrock.pickle", "neighbours.pickle"])
@pytest.mark.parametrize("kind", ["function", "dotted"])
def test_a_state_file_can_call_nothing(tmp_path: Path, name: str, kind: str) -> None:
    state, ran = tmp_path / "state", tmp_path / "ran"
    state.mkdir(mode=0o700)
    body = dotted(ran) if kind == "dotted" else pickle.dumps({"version": 1, "x": Shell(ran)})
    (state / name).write_bytes(body)
    (state / name).chmod(0o600)
    with pytest.raises(SandboxUsageError, match=re.escape(name)):
        Sandbox(state=state).start()
    assert not ran.exists()


@pytest.mark.parametrize("which", ["folder", "file"])
def test_a_state_folder_that_others_may_write_is_refused(tmp_path: Path, which: str) -> None:
    state = tmp_path / "state"
    with Sandbox(state=state) as sandbox:
        sandbox.prepare()
    assert state.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in state.iterdir()} == {0o600}
    (state if which == "folder" else state / "bedrock.pickle").chmod(0o777 if which == "folder" else 0o666)
    with pytest.raises(SandboxUsageError, match="yours alone"):
        Sandbox(state=state).start()


def test_all_that_a_sandbox_saves_can_be_read_again(tmp_path: Path) -> None:
    """Both kinds of student, objects with versions and tags, roles and policies, parameters, a meter and tokens."""
    from tests.sandbox.conftest import STUDENT, TEACHER, prompt_lines

    state = tmp_path / "state"
    free_text = [
        {"prompt": f"what is thing {n}?", "completion": f"thing {n} is a word of number {n * 7}"}
        for n in range(120)
    ]
    with Sandbox(state=state, traffic=free_text) as sandbox:
        role = sandbox.prepare()
        s3, iam = sandbox.client("s3"), sandbox.client("iam")
        s3.put_bucket_versioning(Bucket="distill-sandbox", VersioningConfiguration={"Status": "Enabled"})
        s3.put_object(Bucket="distill-sandbox", Key="a", Body=b"1", Tagging="x=y", Metadata={"A": "b"})
        s3.put_object(Bucket="distill-sandbox", Key="a", Body=b"2" * 2_000_000)
        iam.attach_role_policy(
            RoleName="distill-sandbox", PolicyArn="arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
        )
        sandbox.client("ssm").put_parameter(Name="/p", Value="here", Type="String")
        s3.put_object(
            Bucket="distill-sandbox",
            Key="t.jsonl",
            Body=prompt_lines(support_tickets(150), labelled=True).encode(),
        )
        asked = "\n".join(
            json.dumps(
                {
                    "schemaVersion": "bedrock-conversation-2024",
                    "messages": [{"role": "user", "content": [{"text": row["prompt"]}]}],
                }
            )
            for row in free_text
        )
        s3.put_object(Bucket="distill-sandbox", Key="f.jsonl", Body=asked.encode())
        bedrock = sandbox.client("bedrock")
        for key in ("t", "f"):
            bedrock.create_model_customization_job(
                jobName=key, customModelName=key, roleArn=role, baseModelIdentifier=STUDENT,
                customizationType="DISTILLATION", clientRequestToken=f"token-{key}",
                trainingDataConfig={"s3Uri": f"s3://distill-sandbox/{key}.jsonl"},
                outputDataConfig={"s3Uri": "s3://distill-sandbox/out"},
                customizationConfig={"distillationConfig": {"teacherModelConfig": {"teacherModelIdentifier": TEACHER}}},
            )  # fmt: skip
            assert bedrock.get_model_customization_job(jobIdentifier=key)["status"] == "Completed"
    with Sandbox(state=state) as again:
        models = again.client("bedrock").list_custom_models()["modelSummaries"]
        assert sorted(model["modelName"] for model in models) == ["f", "t"]
        assert (
            len(again.client("s3").get_object(Bucket="distill-sandbox", Key="a")["Body"].read()) == 2_000_000
        )
        assert again.client("iam").list_attached_role_policies(RoleName="distill-sandbox")["AttachedPolicies"]

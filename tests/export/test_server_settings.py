"""A setting of the server that cannot be is told in a sentence."""

import pytest
import trustme

from tests.processes import run


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A certificate and its key, another key, and a file that is neither."""
    folder = tmp_path_factory.mktemp("files")
    authority = trustme.CA()
    for name in ("own", "other"):
        certificate = authority.issue_cert("localhost")
        certificate.private_key_pem.write_to_path(folder / f"{name}.key")
        certificate.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
    (folder / "text").write_text("no certificate")
    (folder / "bytes").write_bytes(bytes(range(256)))
    return folder


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--certificate=/absent.pem"], "needs both --certificate and --key"),
        (["--certificate=/absent.pem", "--key=/absent.key"], "/absent"),
        (["--port={taken}"], "if the port is taken, name another"),
        (["--metrics_port={taken}"], "127.0.0.1:{taken}: Address already in use"),
        (["--port=70000"], "v<=65535"),
        (["--port=-1"], "v>=0"),
        (["--metrics_port=65536"], "v<=65535"),
        (["--poll_seconds=inf"], "v<=86400"),
        (["--poll_seconds=0"], "v>=0.001"),
        (["--drain_seconds=nan"], "v<=86400"),
        (["--message_bytes=2147483648"], "v<=2147483647"),
        (["--workers=0"], "v>=1"),
        (["--workers=1000000"], "v<=256"),
        (["--request_rows=0"], "request_rows"),
        (["--certificate={files}/text", "--key={files}/own.key"], "text is no certificate"),
        (["--certificate={files}/bytes", "--key={files}/own.key"], "bytes is no certificate"),
        (["--certificate={files}/own.pem", "--key={files}/text"], "not the private key"),
        (["--certificate={files}/own.pem", "--key={files}/other.key"], "not the private key"),
        (["--certificate={files}/own.key", "--key={files}/own.key"], "own.key is no certificate"),
        (
            [
                "--certificate={files}/own.pem",
                "--key={files}/own.key",
                "--client_certificates={files}/text",
            ],
            "text is no certificate",
        ),
    ],
)
def test_a_mistake_in_the_flags_is_told_in_a_sentence(server, exports, files, flags, said):
    taken = server.address.rsplit(":", 1)[1]
    flags = [flag.format(taken=taken, files=files) for flag in flags]
    done = run(["-m", "tfrs_timirec.export.server", exports["timirec"], *flags])
    assert done.returncode == 2
    assert said.format(taken=taken) in done.stderr
    assert "Traceback" not in done.stderr and "never awaited" not in done.stderr

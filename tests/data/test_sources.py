import hashlib
import io
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tfrs_timirec.config import DataSettings
from tfrs_timirec.data import load, sources
from tfrs_timirec.errors import UserError

RATINGS = b"".join(
    b"%d\t%d\t4\t%d\n" % (user, item, 100 * user + item) for user in range(6) for item in range(6)
)


def _zip(member):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("../outside", b"never unpacked")
        archive.writestr(member, RATINGS)
    return content.getvalue()


@pytest.fixture
def server(monkeypatch):
    """Serves `server.files`; a path that starts with /cut ends too early."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            content = self.server.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            self.server.requests.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[:10] if self.path.startswith("/cut") else content)

        def log_message(self, *_):
            pass

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        httpd.files, httpd.requests = {}, []
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield httpd
        httpd.shutdown()


@pytest.fixture
def publish(server, monkeypatch):
    """Puts a named source on the server, at a path, and returns its URL."""

    def put(name, path, content, sha256=None):
        server.files[path] = content
        url = f"http://127.0.0.1:{server.server_port}{path}"
        source = replace(
            sources.SOURCES[name], url=url, sha256=sha256 or hashlib.sha256(content).hexdigest()
        )
        monkeypatch.setitem(sources.SOURCES, name, source)
        return url

    return put


def _files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_plain_file_is_downloaded_once(tmp_path, publish, server):
    publish("beauty", "/ratings_Beauty.csv", b"A1,B1,5.0,100\n")
    path = sources.fetch("beauty", tmp_path)
    assert path == tmp_path / "beauty" / "ratings_Beauty.csv"
    assert path.read_bytes() == b"A1,B1,5.0,100\n"
    assert sources.fetch("beauty", tmp_path) == path
    assert server.requests == ["/ratings_Beauty.csv"]
    assert _files(tmp_path) == ["beauty/ratings_Beauty.csv"]


def test_only_the_ratings_are_unpacked(tmp_path, publish):
    publish("ml-100k", "/ml-100k.zip", _zip("ml-100k/u.data"))
    path = sources.fetch("ml-100k", tmp_path)
    assert path.read_bytes() == RATINGS
    assert _files(tmp_path) == ["ml-100k/ml-100k.zip", "ml-100k/u.data"]


def test_a_zip_put_there_by_hand_is_unpacked(tmp_path):
    (tmp_path / "ml-1m").mkdir()
    (tmp_path / "ml-1m" / "ml-1m.zip").write_bytes(_zip("ml-1m/ratings.dat"))
    assert sources.fetch("ml-1m", tmp_path).read_bytes() == RATINGS


def test_a_named_source_is_loaded_whatever_the_columns_are_called(tmp_path, publish):
    publish("ml-100k", "/ml-100k.zip", _zip("ml-100k/u.data"))
    settings = DataSettings(
        source="ml-100k", folder=str(tmp_path), user_column="other", time_column=None, min_rating=4
    )
    store = load(settings, seed=0)
    assert (store.num_users, store.num_items, len(store.items)) == (6, 6, 36)
    assert store.times[:3].tolist() == [0, 1, 2]


def test_a_headerless_amazon_file_put_there_by_hand_is_loaded(tmp_path):
    rows = [f"A{user},00{item},5.0,{item}" for user in range(5) for item in range(5)]
    (tmp_path / "beauty").mkdir()
    (tmp_path / "beauty" / "ratings_Beauty.csv").write_text("\n".join(rows))
    store = load(DataSettings(source="beauty", folder=str(tmp_path)), seed=0)
    assert len(store.items) == 25
    assert store.item_ids[0].as_py() == "000"


def test_a_wrong_checksum(tmp_path, publish):
    publish("beauty", "/ratings_Beauty.csv", b"changed", sha256="0" * 64)
    with pytest.raises(UserError, match="SHA-256 .* instead of 000.*ratings_Beauty.csv"):
        sources.fetch("beauty", tmp_path)
    assert not _files(tmp_path)


def test_an_interrupted_download(tmp_path, publish):
    url = publish("beauty", "/cut/ratings_Beauty.csv", b"A1,B1,5.0,100\n" * 10)
    with pytest.raises(UserError, match=f"Downloading {url} failed") as error:
        sources.fetch("beauty", tmp_path)
    assert str(tmp_path / "beauty" / "ratings_Beauty.csv") in str(error.value)
    assert not _files(tmp_path)


def test_no_such_file_on_the_server(tmp_path, publish, server):
    publish("beauty", "/ratings_Beauty.csv", b"")
    del server.files["/ratings_Beauty.csv"]
    with pytest.raises(UserError, match="404"):
        sources.fetch("beauty", tmp_path)
    assert not _files(tmp_path)


def test_no_server(tmp_path, publish, server):
    url = publish("ml-1m", "/ml-1m.zip", b"")
    server.shutdown()
    server.server_close()
    with pytest.raises(UserError, match=f"Downloading {url} failed") as error:
        sources.fetch("ml-1m", tmp_path)
    assert str(tmp_path / "ml-1m" / "ml-1m.zip") in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content", [b"not a zip", _zip("another/file")], ids=["no zip", "another file"]
)
def test_a_zip_that_cannot_be_unpacked(tmp_path, content):
    (tmp_path / "ml-1m").mkdir()
    (tmp_path / "ml-1m" / "ml-1m.zip").write_bytes(content)
    with pytest.raises(UserError, match="ml-1m.zip cannot be unpacked .* delete it and run again"):
        sources.fetch("ml-1m", tmp_path)
    assert _files(tmp_path) == ["ml-1m/ml-1m.zip"]

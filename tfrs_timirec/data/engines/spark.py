"""Apache Spark: on this machine, or on a cluster that shares its files."""

import os
import re
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import ibis
import ibis.expr.types as ir

from tfrs_timirec.data.layouts import TextLayout
from tfrs_timirec.errors import UserError
from tfrs_timirec.files import scratch

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# A master that accepts a connection has this long to run a first, empty job.
STARTING_SECONDS = 300
# Any other does not answer at all.
CONNECTING_SECONDS = 10
_PORTS = {"spark": 7077, "http": 80, "https": 443}
_CHARACTERS = {"utf-8": "UTF-8", "latin-1": "ISO-8859-1"}
# Those of a session alone.
_OPTIONS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.caseSensitive": "true",
    # Else it would take short rows for whole ones where their end is not asked for.
    "spark.sql.csv.parser.columnPruning.enabled": "false",
    "spark.sql.parquet.compression.codec": "zstd",
}


@contextmanager
def session(
    master: str, folder: Path, options: Mapping[str, str] | None = None
) -> Iterator["SparkSession"]:
    """Starts Spark, for as long as the block lasts; where this process has one, it is used.

    What `spark-defaults.conf` in SPARK_CONF_DIR says about a cluster counts.

    Args:
        master: The URL of the master, as `local[*]`, `spark://host:7077`, `yarn` or
            `k8s://https://host:443`.
        folder: Where its notes and, if it is local, its spills go.
        options: Other options of Spark.

    Raises:
        UserError: Spark or Java is not installed, or the master does not answer.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise UserError(
            "Spark is not installed: pip install 'tfrs-timirec[spark]', or do without Spark."
        ) from None
    if there := SparkSession.getActiveSession():
        running = there.newSession()
        for name, value in _OPTIONS.items():
            running.conf.set(name, value)
        yield running
        return
    _check_java()
    _check_answers(master)
    # Or the workers would take another Python.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    told = _OPTIONS | {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false"}
    told["spark.sql.warehouse.dir"] = f"file://{folder}/warehouse"
    if master.startswith("local"):
        told |= {
            "spark.driver.memory": "3g",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.local.dir": str(folder),
            "spark.sql.shuffle.partitions": str(2 * (os.cpu_count() or 1)),
        }
    builder = SparkSession.builder.master(master).appName("tfrs_timirec")
    for name, value in (told | dict(options or {})).items():
        builder = builder.config(name, value)
    try:
        yield _started(builder, master, folder / "spark.log")
    finally:
        _end()


def _started(builder: "SparkSession.Builder", master: str, log: Path) -> "SparkSession":
    """The session, once it has run a first job; UserError if it does not in time."""
    # Spark puts a handler of its own in the place of ours.
    handler = signal.getsignal(signal.SIGINT)
    gave_up = threading.Event()

    def give_up() -> None:
        gave_up.set()
        if java := _java():
            java.proc.kill()

    timer = threading.Timer(STARTING_SECONDS, give_up)
    timer.start()
    try:
        with _noted(log):
            running = builder.getOrCreate()
            running.sparkContext.setLogLevel("ERROR")
            running.range(1).collect()
        return running
    except (*errors(), OSError, RuntimeError) as error:
        late = f"it did not answer within {STARTING_SECONDS} s" if gave_up.is_set() else None
        raise UserError(
            f"Spark cannot start with the master {master} ({late or _reason(error, log)}): check "
            "it, and Java's version, which must be 17 or newer."
        ) from error
    finally:
        timer.cancel()
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)


def _end() -> None:
    """Ends Spark, and Java with it, which would keep its memory."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    # Java may be gone already.
    with suppress(*_java_errors(), OSError):
        if running := SparkSession.getActiveSession():
            running.stop()
    if java := _java():
        with suppress(*_java_errors(), OSError):
            java.shutdown()
        java.proc.kill()
        java.proc.wait()
        SparkContext._gateway = SparkContext._jvm = SparkContext._active_spark_context = None
        SparkSession._instantiatedSession = None


def _java():
    """The process of Java that this one has started, as pyspark has it; None before."""
    from pyspark import SparkContext

    return SparkContext._gateway


@contextmanager
def prepares(master: str, folder: Path) -> Iterator["Spark"]:
    """Starts Spark as an engine.

    Args:
        master: The URL of the master.
        folder: Where its tables go; all machines of the cluster see it under this path.

    Raises:
        UserError: It cannot be started, or the folder cannot be written to.
    """
    from tfrs_timirec.data.engines.duck import writing

    with writing(folder, "data.folder"), scratch(folder, ".spark") as tables:
        tables = tables.resolve()
        with session(master, tables) as running:
            yield Spark(running, tables)


@ibis.udf.scalar.builtin(name="unix_micros", signature=(("timestamp('UTC')",), "int64"))
def _microseconds(time):
    """Of Spark."""


class Spark:
    """An `Engine`.

    Args:
        session: That runs.
        tables: The folder of what it materialises.
    """

    def __init__(self, session: "SparkSession", tables: Path):
        self.errors = errors()
        self._session = session
        self._tables = tables
        self._connection = ibis.pyspark.connect(session)

    def read_text(
        self, paths: Sequence[Path], layout: TextLayout, columns: Sequence[str], parallel: bool
    ) -> ir.Table:
        names = _names(paths)
        quoted = False
        if layout.quote:
            # Only a value within quotes may have a line break, by which a file could be split.
            lines = self._session.read.text(names)
            quoted = not lines.filter(lines["value"].contains(layout.quote)).isEmpty()
        frame = self._session.read.csv(
            names,
            schema=", ".join(f"{column} string" for column in columns),
            header=layout.columns is None,
            sep=layout.delimiter,
            quote=layout.quote,
            escape=layout.quote,
            encoding=_CHARACTERS[layout.encoding],
            multiLine=quoted,
            # Its default drops what is too much in a row.
            mode="FAILFAST",
        )
        return self._read(frame, paths)

    def read_lines(self, paths: Sequence[Path]) -> ir.Table:
        frame = self._session.read.text(_names(paths))
        return self._read(frame.withColumnRenamed("value", "line"), paths)

    def read_parquet(self, paths: Sequence[Path]) -> ir.Table:
        return self._read(self._session.read.parquet(*_names(paths)), paths)

    def _read(self, frame: "DataFrame", paths: Sequence[Path]) -> ir.Table:
        """A table with the place of each row: Spark reads the parts of files in any order."""
        import pyspark.sql.functions as functions

        numbers = {path.resolve(): number for number, path in enumerate(paths)}
        files = []
        for url in frame.inputFiles():
            number = numbers[Path(unquote(urlsplit(url).path)).resolve()]
            # The same file is written in two ways.
            for written in (url, url.replace("file:///", "file:/", 1)):
                files.append((written, number, str(paths[number])))
        placed = frame.select(
            "*",
            functions.col("_metadata.file_path").alias("__url"),
            functions.col("_metadata.file_block_start").alias("__block"),
            functions.monotonically_increasing_id().alias("__row"),
        )
        if not files:
            # An empty file is none to Spark.
            files = [("", 0, str(paths[0]))]
        named = self._session.createDataFrame(files, "__url string, __number long, __file string")
        return self._table(placed.join(functions.broadcast(named), "__url").drop("__url"))

    def numbered(self, table: ir.Table, columns: Mapping[str, str]) -> ir.Table:
        chosen = {name: table[column] for name, column in columns.items()}
        places = ("__file", "__number", "__block", "__row")
        rows = self.materialise(table.select(*places, **chosen))
        # Within a part of a file, Spark numbers the rows without a gap.
        parts = rows.group_by("__number", "__block").aggregate(
            __first=rows["__row"].min(), __rows=rows.count()
        )
        found = sorted(tuple(row) for row in self._frame(parts).collect())
        before = accumulate((row[3] for row in found), initial=0)
        shifts = [
            (number, block, start - first)
            for (number, block, first, _), start in zip(found, before, strict=False)
        ]
        shifts = shifts or [(0, 0, 0)]
        kinds = "__number long, __block long, __shift long"
        shifted = self._table(self._session.createDataFrame(shifts, kinds).hint("broadcast"))
        placed = rows.join(shifted, ["__number", "__block"])
        return placed.select(*columns, "__file", position=placed["__row"] + placed["__shift"])

    def unreadable(self, error: Exception) -> tuple[str | None, str | None, str]:
        message = _message(error)
        file = re.search(r"file:(?://)?(/[^\s,;]+?)[.,;]?(?=\s|$)", message)
        reason = "a row has too few or too many values" if "MALFORMED" in message else None
        told = reason or message.strip().splitlines()[0].strip(". ")
        return file and unquote(file[1]), None, told

    def microseconds(self, time: ir.TimestampValue) -> ir.IntegerValue:
        return _microseconds(time)

    def materialise(self, table: ir.Table) -> ir.Table:
        # Temporary tables are none of Ibis' for Spark.
        path = f"file://{self._tables}/{ibis.util.gen_name('prepare')}"
        self._frame(table).write.parquet(path)
        return self._table(self._session.read.parquet(path))

    def write_shards(
        self,
        table: ir.Table,
        order: Sequence[str],
        columns: Mapping[str, str],
        shards: Mapping[int, Path],
    ) -> None:
        import pyspark.sql.functions as functions

        chosen = [functions.col(column).alias(name) for name, column in columns.items()]
        written = self._tables / ibis.util.gen_name("shards")
        # All rows of a shard are one task's, which writes them as one file.
        (
            self._frame(table)
            .repartition(len(shards), "shard")
            .sortWithinPartitions("shard", *order)
            .select("shard", *chosen)
            .write.partitionBy("shard")
            .parquet(f"file://{written}")
        )
        for shard, path in shards.items():
            (file,) = (written / f"shard={shard}").glob("*.parquet")
            os.replace(file, path)
        shutil.rmtree(written)

    def _frame(self, table: ir.Table) -> "DataFrame":
        return self._session.sql(self._connection.compile(table))

    def _table(self, frame: "DataFrame") -> ir.Table:
        name = ibis.util.gen_name("table")
        frame.createOrReplaceTempView(name)
        return self._connection.table(name)


def _names(paths: Sequence[Path]) -> list[str]:
    # Spark takes a name for a glob; without a scheme, for one in the cluster's file system.
    escaped = [re.sub(r"([][{}*?,^\\])", r"\\\1", str(path.resolve())) for path in paths]
    return [f"file://{path}" for path in escaped]


def _check_java() -> None:
    home = os.environ.get("JAVA_HOME")
    if home and not Path(home, "bin/java").is_file():
        where = f"{home}/bin/java is not there"
    elif not home and not shutil.which("java"):
        where = "there is no java here"
    else:
        return
    raise UserError(f"Spark needs Java 17 or newer, and {where}: install it or set JAVA_HOME.")


def _check_answers(master: str) -> None:
    """Raises UserError if nothing listens at any of the addresses in the URL of a master."""
    url = master.removeprefix("k8s://")
    scheme, found, rest = url.partition("://")
    if not found or scheme not in _PORTS:
        return
    for address in rest.split("/")[0].split(","):
        host, _, port = address.rpartition(":") if ":" in address else (address, "", "")
        with suppress(OSError, ValueError, OverflowError):
            place = host.strip("[]"), int(port or _PORTS[scheme])
            with socket.create_connection(place, CONNECTING_SECONDS):
                return
    raise UserError(
        f"The Spark master {master} does not answer: check its address, or leave out the master "
        "to run Spark on this machine."
    )


@contextmanager
def _noted(log: Path) -> Iterator[None]:
    """Java's notes go into a file, while it starts and after."""
    kept = os.dup(2)
    with open(log, "ab") as file:
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _java_errors() -> tuple[type[Exception], ...]:
    from py4j.protocol import Py4JError

    return (Py4JError,)


def errors() -> tuple[type[Exception], ...]:
    """What Spark raises."""
    from pyspark.errors import PySparkException

    return (PySparkException, *_java_errors())


def reason(error: Exception) -> str:
    """What an error of Spark says, as a part of a sentence; of a task, its last line."""
    lines = _message(error).strip().splitlines()
    raised = [line for line in lines if re.match(r"\s*[\w.]*(Error|Exception)\b.*: ", line)]
    told = (raised or lines or ["no reason given"])[-1 if raised else 0]
    return " ".join(told.split()).strip(". ")


def _reason(error: Exception, log: Path) -> str:
    """What Spark, or else Java, has to say."""
    told = [line for line in log.read_text(errors="replace").splitlines() if "rror" in line]
    lines = _message(error).strip().splitlines()
    best = told[-1:] if not lines or "JAVA_GATEWAY_EXITED" in lines[0] else lines[:1]
    return " ".join((best or lines or ["no reason given"])[0].split()).strip(". ")


def _message(error: Exception) -> str:
    """The innermost message of an error that came through Java."""
    java = getattr(error, "java_exception", None) or getattr(error, "_origin", None)
    if java is None:
        return str(error)
    messages = [str(error)]
    with suppress(*_java_errors()):
        while java is not None:
            messages.append(str(java.getMessage()))
            java = java.getCause()
    malformed = [message for message in messages if "MALFORMED" in message]
    return " ".join(messages) if malformed else messages[-1]

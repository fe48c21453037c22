"""A client of TF-Serving and of `tfrs_timirec.export.server`: plain types over gRPC.

`python -m tfrs_timirec.export.client ITEM ITEM …` asks for the recommendations of one history.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jsonargparse import ArgumentParser
from jsonargparse.typing import NonNegativeFloat, PositiveFloat, PositiveInt

from tfrs_timirec.commands import program
from tfrs_timirec.config import plain
from tfrs_timirec.errors import UserError, run_command
from tfrs_timirec.export.extras import check_extra

# Every call only reads: it may be asked again, also where a server that stops has dropped it.
RETRIES = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED"],
            },
        }
    ]
}

Id = str | int
Times = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Recommendation:
    """An item, its score and, where the model has titles, its title.

    Args:
        item_id: As in the log.
        score: Higher is better.
        title: If the model has titles.
        interest: Of an explanation: the interest that the item comes from, from 0; None for a user
            without a known item, who gets the most popular ones.
    """

    item_id: Id
    score: float
    title: str | None = None
    interest: int | None = None


@dataclass(frozen=True, eq=False)
class Explanation:
    """The recommendations of a user, and where they come from.

    Args:
        items: Best first, each with its interest.
        interest_weights: float32 [K], what each interest counts.
        attention: float32 [n, K], the share of each item of the history in each interest; 0 for
            items that the model does not know, or older than the newest it reads.
    """

    items: list[Recommendation]
    interest_weights: np.ndarray
    attention: np.ndarray


@dataclass(frozen=True)
class TLS:
    """How to talk to a server with TLS.

    Args:
        authorities: PEM file of the authorities that vouch for the server.
        certificate: PEM file of the client's own certificate, for mutual TLS.
        key: PEM file of its private key.
    """

    authorities: Path
    certificate: Path | None = None
    key: Path | None = None


class Client:
    """Asks a server for recommendations. Usable as a context manager; safe to share by threads.

    A call is tried again, three times with growing pauses that add up to most of a second, while
    the server is unavailable, overloaded or stopping, but not after the deadline.

    Args:
        address: `host:port`.
        model: The model's name.
        timeout: Seconds until a call fails with DEADLINE_EXCEEDED.
        tls: Certificates; without, the connection is not encrypted.

    Raises:
        grpc.RpcError: Each call, with the server's status and sentence.
    """

    def __init__(
        self,
        address: str = "127.0.0.1:8500",
        model: str = "exact",
        timeout: float = 5.0,
        tls: TLS | None = None,
    ):
        import grpc

        from tfrs_timirec.export.messages import without_tensorflow

        with without_tensorflow():
            from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

        options = [
            ("grpc.service_config", json.dumps(RETRIES)),
            ("grpc.enable_retries", 1),
            # The server bounds what it answers; gRPC would refuse more than 4 MiB.
            ("grpc.max_receive_message_length", -1),
        ]
        if tls:
            if bool(tls.certificate) != bool(tls.key):
                raise UserError(
                    "A certificate needs its key, and a key its certificate: give both."
                )
            files = (tls.authorities, tls.key, tls.certificate)
            credentials = grpc.ssl_channel_credentials(*(path and _read(path) for path in files))
            self._channel = grpc.secure_channel(address, credentials, options)
        else:
            self._channel = grpc.insecure_channel(address, options)
        self._prediction = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)
        self._model = model
        self._timeout = timeout

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def recommend(
        self,
        histories: Sequence[Sequence[Id]],
        k: int = 10,
        exclude: Sequence[Id] = (),
        times: Times | None = None,
        among: Sequence[Id] | None = None,
        interest_weights: Sequence[float] | None = None,
    ) -> list[list[Recommendation]]:
        """The best items of each user.

        Args:
            histories: Item ids of each user, oldest first.
            k: Items a user.
            exclude: Items that no user should get.
            times: When each item of the histories was interacted with, for a model that asks.
            among: The only items that users may get; None for the whole catalogue.
            interest_weights: What the weight of each of the K interests is multiplied by; None
                leaves them as they are.

        Returns:
            The recommendations of each user, best first; fewer than k if no more items are left.

        Raises:
            ValueError: If `among` is empty.
        """
        inputs = self._question(histories, k, exclude, times, among, interest_weights)
        return _recommendations(self._predict("recommend", inputs))

    def explain(
        self,
        histories: Sequence[Sequence[Id]],
        k: int = 10,
        exclude: Sequence[Id] = (),
        times: Times | None = None,
        among: Sequence[Id] | None = None,
        interest_weights: Sequence[float] | None = None,
    ) -> list[Explanation]:
        """What `recommend` answers, explained: its arguments, and one explanation a user."""
        inputs = self._question(histories, k, exclude, times, among, interest_weights)
        outputs = self._predict("explain", inputs)
        return [
            # Without the padding's row.
            Explanation(items, weights, attention[1 : 1 + len(history)])
            for items, weights, attention, history in zip(
                _recommendations(outputs),
                outputs["interest_weights"],
                outputs["attention"],
                histories,
                strict=True,
            )
        ]

    def diverse(
        self,
        histories: Sequence[Sequence[Id]],
        diversity: float,
        k: int = 10,
        exclude: Sequence[Id] = (),
        times: Times | None = None,
        among: Sequence[Id] | None = None,
        interest_weights: Sequence[float] | None = None,
    ) -> list[list[Recommendation]]:
        """Items with high scores and of many categories, of a model exported with categories.

        Args:
            histories: Item ids of each user, oldest first.
            diversity: What an item gains for each chosen one of another category, in scores.
            k: As in `recommend`, as all that follow.
            exclude: As in `recommend`.
            times: As in `recommend`.
            among: As in `recommend`.
            interest_weights: As in `recommend`.

        Returns:
            The recommendations of each user in the order they were chosen.
        """
        inputs = self._question(histories, k, exclude, times, among, interest_weights)
        inputs["diversity"] = np.full(len(histories), diversity, np.float32)
        return _recommendations(self._predict("diverse", inputs))

    def user_vectors(
        self, histories: Sequence[Sequence[Id]], times: Times | None = None
    ) -> np.ndarray:
        """The query vectors of each user: float32 [users, M, D]; arguments as in `recommend`."""
        return self._predict("user_vectors", self._user(histories, times))["query_vectors"]

    def score(
        self,
        histories: Sequence[Sequence[Id]],
        candidates: Sequence[Sequence[Id]],
        times: Times | None = None,
    ) -> np.ndarray:
        """The scores of given items.

        Args:
            histories: Item ids of each user, oldest first.
            candidates: Items to score for each user.
            times: As in `recommend`.

        Returns:
            float32 [users, m], m the longest list of candidates; −inf where there is no such item.
        """
        inputs = {**self._user(histories, times), "candidates": self._ids(candidates)}
        # Without the padding's column, and those of wider requests that it was joined with.
        return self._predict("score", inputs)["scores"][:, 1 : inputs["candidates"].shape[1]]

    def versions(self) -> dict[int, str]:
        """The state of each version of the model that the server knows."""
        from tensorflow_serving.apis.get_model_status_pb2 import (
            GetModelStatusRequest,
            ModelVersionStatus,
        )

        request = GetModelStatusRequest()
        request.model_spec.name = self._model
        response = self._models.GetModelStatus(request, timeout=self._timeout)
        return {
            status.version: ModelVersionStatus.State.Name(status.state)
            for status in response.model_version_status
        }

    @cached_property
    def _inputs(self):
        """The TensorInfo of each input of `recommend`."""
        from tensorflow_serving.apis.get_model_metadata_pb2 import (
            GetModelMetadataRequest,
            SignatureDefMap,
        )

        request = GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = self._model
        response = self._prediction.GetModelMetadata(request, timeout=self._timeout)
        signatures = SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        return signatures.signature_def["recommend"].inputs

    def _user(self, histories, times) -> dict[str, np.ndarray]:
        inputs = {"history": self._ids(histories)}
        if times is not None:
            inputs["times"] = _padded(times, np.int64, 0)
        return inputs

    def _question(
        self, histories, k, exclude, times, among, interest_weights
    ) -> dict[str, np.ndarray]:
        """Inputs with a row for each user: only then does TF-Serving join requests."""
        users = len(histories)
        if among is not None and not len(among):
            raise ValueError("There is no item to choose among: give None for all items.")
        if interest_weights is None:
            interest_weights = [1] * self._inputs["interest_weights"].tensor_shape.dim[1].size
        return {
            **self._user(histories, times),
            "k": np.full(users, k, np.int32),
            "exclude": self._ids([exclude] * users),
            "among": self._ids([among or ()] * users),
            "interest_weights": np.tile(np.float32(interest_weights), (users, 1)),
        }

    def _ids(self, rows: Sequence[Sequence[Id]]) -> np.ndarray:
        """The rows as the model's type of id."""
        from tensorflow.core.framework.types_pb2 import DT_INT64

        if self._inputs["history"].dtype == DT_INT64:
            # No log has the smallest integer as an id.
            return _padded(rows, np.int64, np.iinfo(np.int64).min)
        return _padded([[str(item).encode() for item in row] for row in rows], object, b"")

    def _predict(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        from tensorflow_serving.apis.predict_pb2 import PredictRequest

        from tfrs_timirec.export.messages import array_of, write

        request = PredictRequest()
        request.model_spec.name = self._model
        request.model_spec.signature_name = signature
        for name, array in inputs.items():
            write(request.inputs[name], array)
        response = self._prediction.Predict(request, timeout=self._timeout)
        return {name: array_of(proto) for name, proto in response.outputs.items()}


def _recommendations(outputs: dict[str, np.ndarray]) -> list[list[Recommendation]]:
    nothing = np.full(outputs["scores"].shape, None)
    columns = [
        outputs["item_ids"],
        outputs["scores"],
        outputs.get("item_titles", nothing),
        outputs.get("item_interests", nothing),
    ]
    return [
        [
            Recommendation(
                _plain(item),
                float(score),
                _plain(title),
                None if interest is None or interest < 0 else int(interest),
            )
            for item, score, title, interest in zip(*user, strict=True)
            if score > -np.inf
        ]
        for user in zip(*columns, strict=True)
    ]


def _padded(rows: Sequence[Sequence], dtype: type, padding) -> np.ndarray:
    """The rows in one width, each after a padding: [rows, 1 + longest].

    TF-Serving pads requests that it joins with their first value.
    """
    array = np.full((len(rows), 1 + max(map(len, rows), default=0)), padding, dtype)
    for row, values in enumerate(rows):
        array[row, 1 : 1 + len(values)] = values
    return array


def _plain(value):
    """A Python string or integer."""
    if isinstance(value, bytes):
        return value.decode()
    return value if value is None else int(value)


def _read(path: Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None


def main() -> None:
    """Reads the command line, asks and prints a table."""
    run_command(_main)


def _main() -> None:
    parser = ArgumentParser(
        prog=program("ask"),
        description="Asks a server for the recommendations of a history.",
    )
    parser.add_argument("history", nargs="*", help="Item ids, oldest first.")
    parser.add_argument("--address", default="127.0.0.1:8500", help="host:port of the server.")
    parser.add_argument("--model", default="exact", help="The model's name.")
    parser.add_argument("--k", type=PositiveInt, default=10, help="How many items.")
    parser.add_argument("--exclude", nargs="+", default=[], help="Items to leave out.")
    parser.add_argument("--among", nargs="+", help="The only items that may come.")
    parser.add_argument(
        "--diversity", type=NonNegativeFloat, help="What another category is worth, in scores."
    )
    parser.add_argument(
        "--explain", action="store_true", help="Tells which interest each item comes from."
    )
    parser.add_argument("--timeout", type=PositiveFloat, default=5.0, help="Seconds.")
    parser.add_argument("--tls", type=TLS | None, help="Certificates, where the server has TLS.")
    parsed = plain(parser.parse_args().as_dict())
    question = [
        parsed.pop(name) for name in ("history", "k", "exclude", "among", "diversity", "explain")
    ]
    tls = parsed.pop("tls")
    ask(*question, **parsed, tls=TLS(**tls) if tls else None)


def ask(
    history: list[str],
    k: int,
    exclude: list[str],
    among: list[str] | None,
    diversity: float | None,
    explain: bool,
    **connection,
) -> None:
    """Prints the recommendations of a history.

    Args:
        history: Item ids, oldest first.
        k: How many items.
        exclude: Items to leave out.
        among: The only items that may come; None for all.
        diversity: As in `Client.diverse`; None asks for the best items, diverse or not.
        explain: Whether to print the interests, too.
        connection: What `Client` takes.

    Raises:
        UserError: If the server refuses, or cannot be reached.
    """
    check_extra()
    if explain and diversity is not None:
        raise UserError("--explain and --diversity do not go together: leave one out.")
    import grpc
    from rich.console import Console

    tables = []
    with Client(**connection) as client:
        try:
            if explain:
                (explanation,) = client.explain([history], k, exclude, among=among)
                items = explanation.items
                tables.append(_interests_table(history, explanation))
            elif diversity is None:
                (items,) = client.recommend([history], k, exclude, among=among)
            else:
                (items,) = client.diverse([history], diversity, k, exclude, among=among)
        except grpc.RpcError as error:
            raise UserError(f"{error.code().name}: {error.details()}") from None
        except OverflowError:
            raise UserError(
                "A number is too large: give a k of at most 2,147,483,647, and ids of 64 bits."
            ) from None
        except ValueError:
            raise UserError("The ids of this model are integers: give integers.") from None
    Console().print(_items_table(items), *tables)


def _items_table(items: list[Recommendation]):
    from rich.markup import escape
    from rich.table import Table

    columns = {
        "": [str(place) for place in range(1, len(items) + 1)],
        "item": [str(item.item_id) for item in items],
        "score": [f"{item.score:.4f}" for item in items],
        "title": [item.title for item in items],
        "interest": [
            item.interest if item.interest is None else str(item.interest) for item in items
        ],
    }
    columns = {name: cells for name, cells in columns.items() if None not in cells}
    table = Table(*columns)
    for row in zip(*columns.values(), strict=True):
        table.add_row(*map(escape, row))
    return table


def _interests_table(history: list[str], explanation: Explanation):
    from rich.markup import escape
    from rich.table import Table

    table = Table("history", *(f"interest {k}" for k in range(len(explanation.interest_weights))))
    rows = [*explanation.attention, explanation.interest_weights]
    for name, shares in zip([*history, "weight"], rows, strict=True):
        table.add_row(escape(name), *(f"{share:.2f}" for share in shares))
    return table


if __name__ == "__main__":
    main()

"""TF-Serving's services: PredictionService and ModelService."""

from collections.abc import Callable

import grpc
from google.protobuf.message import Message
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc
from tensorflow_serving.apis.get_model_metadata_pb2 import (
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    SignatureDefMap,
)
from tensorflow_serving.apis.get_model_status_pb2 import (
    GetModelStatusRequest,
    GetModelStatusResponse,
)
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse

from tfrs_timirec.export.server.batching import Batcher
from tfrs_timirec.export.server.bounds import check_answer, check_shapes
from tfrs_timirec.export.server.errors import RequestError, invalid
from tfrs_timirec.export.server.requests import observed
from tfrs_timirec.export.server.settings import ServerSettings
from tfrs_timirec.export.server.tensors import read_inputs, write_output
from tfrs_timirec.export.server.versions import Models, Version


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata.

    Args:
        models: What serves.
        batcher: Computes the answers.
        settings: What bounds the requests.
    """

    def __init__(self, models: Models, batcher: Batcher, settings: ServerSettings):
        self._models = models
        self._batcher = batcher
        self._settings = settings

    async def Predict(  # noqa: N802 - the protocol's name
        self,
        request: PredictRequest,
        context: grpc.aio.ServicerContext,
        fill: Callable[[SignatureDef], None] | None = None,
    ) -> PredictResponse:
        """Answers with the outputs of a signature.

        Args:
            request: The question.
            context: Of the request.
            fill: Fills in the inputs of a request that could not be read without the signature, and
                checks their shapes before.
        """
        async with observed(context) as asked:
            version = _version(self._models, request.model_spec)
            asked.model = version.name
            signature = request.model_spec.signature_name or "serving_default"
            if signature not in version.signatures:
                known = ", ".join(sorted(version.signatures))
                raise invalid(f"There is no signature {signature!r}; there are {known}.")
            asked.signature = signature
            definition = version.signatures[signature]
            if fill:
                fill(definition)
            else:
                shapes = {
                    name: [dimension.size for dimension in tensor.tensor_shape.dim]
                    for name, tensor in request.inputs.items()
                }
                check_shapes(shapes, self._settings)
            inputs = read_inputs(request.inputs, definition)
            check_answer(inputs, self._settings)
            wanted = _outputs(request, definition.outputs)
            outputs = await self._batcher.run(version, signature, inputs)
            response = PredictResponse(
                model_spec=_spec(version, request.model_spec, signature_name=signature)
            )
            for name in wanted:
                write_output(response.outputs[name], outputs[name])
            return response

    async def GetModelMetadata(  # noqa: N802 - the protocol's name
        self, request: GetModelMetadataRequest, context: grpc.aio.ServicerContext
    ) -> GetModelMetadataResponse:
        """Answers with the signatures of a model."""
        try:
            version = _version(self._models, request.model_spec)
            for name in request.metadata_field:
                if name != "signature_def":
                    raise invalid(f"There is no metadata field {name!r}, only signature_def.")
            if not request.metadata_field:
                raise invalid("The metadata_field is missing: name signature_def.")
        except RequestError as error:
            await context.abort(error.code, str(error))
        response = GetModelMetadataResponse(model_spec=_spec(version, request.model_spec))
        response.metadata["signature_def"].Pack(SignatureDefMap(signature_def=version.signatures))
        return response


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus.

    Args:
        models: What serves.
    """

    def __init__(self, models: Models):
        self._models = models

    async def GetModelStatus(  # noqa: N802 - the protocol's name
        self, request: GetModelStatusRequest, context: grpc.aio.ServicerContext
    ) -> GetModelStatusResponse:
        """Answers with the states of a model's versions."""
        try:
            name, number = _asked(request.model_spec)
            statuses = self._models.statuses(name, number)
        except RequestError as error:
            await context.abort(error.code, str(error))
        return GetModelStatusResponse(model_version_status=statuses)


def _asked(spec: ModelSpec) -> tuple[str, int | None]:
    """The model's name and the version that a request asks for."""
    if not spec.name:
        raise invalid("The model_spec has no name of a model.")
    if spec.HasField("version_label"):
        raise invalid("Version labels are not supported: name a version, or none.")
    return spec.name, spec.version.value if spec.HasField("version") else None


def _version(models: Models, spec: ModelSpec) -> Version:
    return models.version(*_asked(spec))


def _spec(version: Version, asked: ModelSpec, **fields) -> ModelSpec:
    spec = ModelSpec(name=asked.name, **fields)
    spec.version.value = version.number
    return spec


def _outputs(request: PredictRequest, outputs: dict[str, Message]) -> list[str]:
    """The outputs to answer with."""
    for name in request.output_filter:
        if name not in outputs:
            raise invalid(f"There is no output {name!r}; there are {', '.join(sorted(outputs))}.")
    return sorted(request.output_filter or outputs)

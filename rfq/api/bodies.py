"""Ties our strict body reader into Litestar's routes, and into the OpenAPI document."""

from collections.abc import Generator
from typing import Any

from litestar.dto import AbstractDTO, DTOConfig
from litestar.dto.data_structures import DTOFieldDefinition
from litestar.typing import FieldDefinition

from rfq.api.parse import BodyReader


def strict(kind: type[Any]) -> type[AbstractDTO[Any]]:
    """For a handler's `dto=`: its `data` is then a `kind` read strictly, or BadInput is raised."""
    reader = BodyReader(kind)

    class StrictBody(AbstractDTO[kind]):
        config = DTOConfig()

        def decode_bytes(self, value: bytes) -> Any:
            return reader.read(value)

        @classmethod
        def create_for_field_definition(cls, *_: Any, **__: Any) -> None:
            """Nothing to prepare: the decoder is ready."""

        @classmethod
        def create_openapi_schema(cls, field_definition: FieldDefinition, handler_id: str, schema_creator: Any) -> Any:
            return schema_creator.for_field_definition(field_definition)

        @classmethod
        def generate_field_definitions(cls, model_type: type[Any]) -> Generator[DTOFieldDefinition, None, None]:
            yield from ()

        @classmethod
        def detect_nested_field(cls, field_definition: FieldDefinition) -> bool:
            return False

    return StrictBody

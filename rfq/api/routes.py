"""Our kind of route: bodies read strictly, refusals documented as the problems they are."""

from collections.abc import Generator
from functools import partial
from typing import Any, TypeAlias

import litestar
from litestar import Request
from litestar.di import NamedDependency
from litestar.dto import AbstractDTO, DTOConfig
from litestar.dto.data_structures import DTOFieldDefinition
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, SkipValidation
from litestar.typing import FieldDefinition

from rfq.api.edge import Edge
from rfq.api.house_answers import Problem
from rfq.api.parse import BodyReader
from rfq.api.problems import MEDIA_TYPE

TheEdge: TypeAlias = NamedDependency[SkipValidation[Edge]]
AnyRequest: TypeAlias = Request[Any, Any, Any]
Id: TypeAlias = FromPath[str]

_REFUSALS = {
    400: "A field breaks a rule: `field`, `value` and `rule` say which",
    401: "No key, or one that is not known",
    403: "Not for this role",
    404: "No such thing, or not yours",
    409: "The state, a limit or the market does not allow it",
    503: "Not now, and not your fault",
}
_documented: Any = {
    status: ResponseSpec(Problem, description=text, media_type=MEDIA_TYPE, generate_examples=False)
    for status, text in _REFUSALS.items()
}

get = partial(litestar.get, responses=_documented)
put = partial(litestar.put, responses=_documented)
post = partial(litestar.post, responses=_documented)
delete = partial(litestar.delete, responses=_documented)


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

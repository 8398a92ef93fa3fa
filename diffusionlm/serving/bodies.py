"""Fields of the body of a request, in OpenAI's form with fields of our own; anything else is refused by name."""

from __future__ import annotations

import json
import re
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, ValidationError

from diffusionlm.errors import suggestion
from diffusionlm.serving.limits import Refusal
from diffusionlm.serving.plain_json import MOST_NESTED, is_deeper, no_field_twice

LARGEST_SEED = 2**63 - 1
Number = float | int


class Body(BaseModel):
    """Base of bodies: unknown fields and values of another type are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())


class StreamOptions(Body):
    """OpenAI's ``stream_options``."""

    include_usage: StrictBool = False
    include_obfuscation: StrictBool = False


class JsonSchemaFormat(Body):
    """The inner part of a ``response_format`` with a schema."""

    name: StrictStr = "answer"
    description: StrictStr | None = None
    schema_: dict[str, Any] | StrictBool = Field(alias="schema")
    strict: StrictBool | None = None


class ResponseFormat(Body):
    """OpenAI's ``response_format``."""

    type: Literal["text", "json_schema", "json_object"]
    json_schema: JsonSchemaFormat | None = None


class Common(Body):
    """Fields of completions, of texts and of chats."""

    model: StrictStr
    n: StrictInt = 1
    seed: StrictInt | None = None
    stop: StrictStr | list[StrictStr] | None = None
    stream: StrictBool | None = False
    stream_options: StreamOptions | None = None
    temperature: Number | None = None
    response_format: ResponseFormat | None = None
    user: StrictStr | None = None
    # ours
    steps: StrictInt | None = None
    sampler: StrictStr | None = None
    guidance: Any = None  # `serving.plugins` says what it may be
    drafts: StrictBool = True
    # OpenAI's, that only their neutral values are taken of
    top_p: Number | None = None
    frequency_penalty: Number | None = None
    presence_penalty: Number | None = None
    logit_bias: dict[str, Any] | None = None
    logprobs: StrictBool | StrictInt | None = None


class CompletionBody(Common):
    """Body of ``/v1/completions``."""

    prompt: StrictStr | list[StrictStr] | None = None
    suffix: StrictStr | None = None
    echo: StrictBool | None = False
    best_of: StrictInt | None = None
    max_tokens: StrictInt | None = None
    # ours
    condition: StrictStr | list[StrictStr] | None = None
    spans: list[list[StrictInt]] | None = None
    max_span_length: StrictInt | None = None


class TextPart(Body):
    """A part of a message; only text is taken."""

    type: Literal["text"]
    text: StrictStr


class Message(Body):
    """One turn."""

    role: Literal["system", "developer", "user", "assistant"]
    content: StrictStr | list[TextPart]
    name: StrictStr | None = None

    @property
    def text(self) -> str:
        """Content of the message."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class ChatBody(Common):
    """Body of ``/v1/chat/completions``."""

    messages: list[Message]
    max_tokens: StrictInt | None = None
    max_completion_tokens: StrictInt | None = None
    top_logprobs: StrictInt | None = None


Kind = TypeVar("Kind", bound=Body)
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "top_p": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "best_of": (),
}


def read_json(raw: bytes) -> dict[str, Any]:
    """The object in the body of a request.

    Raises:
        Refusal: if it is not UTF-8, not JSON, no object, or holds half of a character.
    """
    try:
        data = json.loads(raw.decode("utf-8-sig"), parse_constant=_no_constant, object_pairs_hook=no_field_twice)
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise Refusal(400, f"The body is not UTF-8: {error.reason} at byte {error.start}.", "invalid_utf8") from None
    except UnicodeEncodeError:
        raise Refusal(400, "The body has half of a character (a lone surrogate) in a text.", "invalid_utf8") from None
    except RecursionError:
        raise Refusal(400, "The body is nested too deeply.", "invalid_json") from None
    except ValueError as error:
        raise Refusal(400, f"The body is not JSON: {str(error)[:200]}.", "invalid_json") from None
    if not isinstance(data, dict):
        raise Refusal(400, f"The body must be a JSON object, got {type(data).__name__}.", "invalid_json")
    if is_deeper(data, MOST_NESTED):
        raise Refusal(400, f"The body is nested too deeply: more than {MOST_NESTED} levels.", "invalid_json")
    return data


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number in JSON")


def read_body(kind: type[Kind], data: dict[str, Any]) -> Kind:
    """A checked body.

    Raises:
        Refusal: naming the field that is unknown, missing, of the wrong type, or has a value that is not supported.
    """
    try:
        body = kind.model_validate(data)
    except ValidationError as error:
        raise _refusal(kind, error) from None
    for name, neutral in _NEUTRAL.items():
        value = getattr(body, name, None)
        if value is not None and value not in neutral and (name, value) != ("best_of", getattr(body, "n", None)):
            raise Refusal(400, f"{name}={value!r} is not supported here; leave it out.", "unsupported", name)
    return body


_KIND = re.compile(r"(?:str|bool|int|float)|(?:list|dict|constrained|function)\b.*")  # pydantic's, of a union's member


def _refusal(kind: type[Body], error: ValidationError) -> Refusal:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"] if not _KIND.fullmatch(str(part)))
    name = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        known = [field.alias or key for key, field in kind.model_fields.items()]
        hint = suggestion(name, known) if len(first["loc"]) == 1 else "leave it out."
        return Refusal(400, f"There is no field {place!r}; {hint}", "unknown_field", place)
    if first["type"] == "missing":
        return Refusal(400, f"The field {place!r} is missing.", "missing_field", place)
    return Refusal(400, f"The field {place!r}: {first['msg']}.", "invalid_field", place)

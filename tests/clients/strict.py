"""Holds what the client read to the client's own types: as it is, nothing converted on the way.

The client itself takes any JSON for an answer, so that fields of a wrong type only show where
they are used.
"""
import pydantic

# What our answers have beside OpenAI's fields.
OURS = {
    "ChatCompletionMessage": {"reasoning_content"},
    "ChoiceDelta": {"reasoning_content"},
    "Model": {"root", "parent", "max_model_len"},
}


def models_in(value):
    if isinstance(value, pydantic.BaseModel):
        yield value
        value = {name: getattr(value, name) for name in value.model_fields_set}
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for element in value:
            yield from models_in(element)


def in_client_terms(answer):
    """The fields, with what the client's types leave out of OpenAI's own answers put in: in a stream of
    completions no choice has a reason to end before it ends."""
    fields = answer.to_dict(mode="python", warnings=False)
    if fields.get("object") == "text_completion":
        for choice in fields.get("choices") or []:
            if "finish_reason" in choice and choice["finish_reason"] is None:
                choice["finish_reason"] = "stop"
    return fields


def strict(answer):
    """The answer, when its type takes every field and it has none that nobody named."""
    type(answer).model_validate(in_client_terms(answer), strict=True)
    for model in models_in(answer):
        name = type(model).__name__
        unknown = set(model.model_extra or ()) - OURS.get(name, set())
        assert not unknown, f"{name} has {sorted(unknown)}"
    return answer

"""From pydantic's findings to sentences that name the key, the value, what is allowed and what was probably meant."""

from collections.abc import Sequence
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mission.errors import ScenarioProblem


def problems_of(error: ValidationError, model: type[BaseModel]) -> tuple[ScenarioProblem, ...]:
    """One problem for each finding of pydantic, in its order."""
    return tuple(problem_of(details, model) for details in error.errors())


def problem_of(details: ErrorDetails, model: type[BaseModel]) -> ScenarioProblem:
    """One finding as a problem; unknown keys get the list of known ones and the nearest of them."""
    path = details["loc"]
    kind = details["type"]
    if kind == "extra_forbidden":
        allowed = keys_at(path[:-1], model)
        near = get_close_matches(str(path[-1]), allowed, n=1)
        return ScenarioProblem(
            key=dotted(path),
            value=details["input"],
            remedy="there is no such key.",
            allowed=allowed,
            suggestion=near[0] if near else None,
        )
    if kind == "missing":
        return ScenarioProblem(key=dotted(path), value=None, remedy="this key is required and absent.")
    if kind == "value_error":
        cause = details.get("ctx", {}).get("error")
        value = None if isinstance(details["input"], dict) else details["input"]
        place = dotted(path)
        if value is None:
            sentence = f"[{place}] {cause}." if place else f"{cause}."
            return ScenarioProblem(key="", value=None, remedy=sentence)
        return ScenarioProblem(key=place, value=value, remedy=f"{cause}.")
    return ScenarioProblem(key=dotted(path), value=details["input"], remedy=f"{details['msg']}.")


def dotted(path: Sequence[str | int]) -> str:
    """`("contact", 1, "aos_s")` as `contact[1].aos_s`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def keys_at(path: Sequence[str | int], model: type[BaseModel]) -> tuple[str, ...]:
    """The keys of the section at `path` below `model`; empty where no section stands there."""
    section: type[BaseModel] | None = model
    for step in path:
        if isinstance(step, str) and section is not None:
            field = section.model_fields.get(step)
            section = section_in(field.annotation) if field else None
    return tuple(section.model_fields) if section else ()


def section_in(annotation: Any) -> type[BaseModel] | None:
    """The section inside an annotation: itself, an optional one, or the member of a tuple."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, UnionType, tuple):
        members = (section_in(member) for member in get_args(annotation) if member not in (NoneType, Ellipsis))
        return next((member for member in members if member), None)
    return None

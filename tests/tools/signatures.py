"""Signatures of tools whose schemas are compared with those of livekit-agents and of the OpenAI SDK.

Nothing of agentd is imported here: bench.tool_schemas runs this file in the peers' environment too.
"""

import datetime
import enum
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, NewType, NotRequired, Optional, Union

from annotated_types import Ge, Gt, Interval, Len, Lt, MaxLen, MinLen, MultipleOf
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from typing_extensions import TypedDict

CustomerId = NewType("CustomerId", str)
Cents = Annotated[int, Field(ge=0, description="In cents.")]


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class Colour(str, enum.Enum):  # noqa: UP042 -- as much code has it
    RED = "red"
    BLUE = "blue"


class Floor(enum.IntEnum):
    GROUND = 0
    FIRST = 1


class One(enum.Enum):
    ONLY = "only"


@dataclass
class Address:
    """Where to deliver.

    Args:
        street: Street and number.
        city: The town.
    """

    street: str
    city: str = "Leeds"


@dataclass
class Order:
    address: Address
    sizes: list[Size]
    notes: list[str] = field(default_factory=list)


@dataclass
class Folder:
    name: str
    inside: list["Folder"] = field(default_factory=list)


class Item(TypedDict):
    """One thing.

    Args:
        name: What it is.
    """

    name: str
    count: NotRequired[int]


class Point(NamedTuple):
    x: float
    y: float = 0.0


class Guest(BaseModel):
    """Who comes."""

    name: str = Field(description="The whole name.", min_length=1)
    age: int | None = Field(default=None, ge=0, le=150)


class Party(BaseModel):
    host: Guest
    guests: list[Guest] = []
    by_name: dict[str, Guest] = {}


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")
    day: datetime.date
    size: Size = Size.SMALL


class Tree(BaseModel):
    value: int
    children: list["Tree"] = []


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str]


class Aliased(BaseModel):
    from_day: datetime.date = Field(alias="from")


def nothing() -> None:
    """Does nothing."""


def text(a: str) -> None: ...
def integer(a: int) -> None: ...
def number(a: float) -> None: ...
def boolean(a: bool) -> None: ...
def several(a: str, b: int, c: float, d: bool) -> None: ...


def documented(day: str, people: int) -> None:
    """Book a table.

    Only when the caller has agreed.

    Args:
        day: The day as it was said.
        people: How many come,
            children too.

    Returns:
        Nothing.
    """


def documented_numpy(day: str, people: int) -> None:
    """Book a table.

    Parameters
    ----------
    day : str
        The day as it was said.
    people : int
        How many come.
    """


def documented_sphinx(day: str) -> None:
    """Book a table.

    :param day: The day as it was said.
    """


def default_text(a: str = "x") -> None: ...
def default_empty(a: str = "") -> None: ...
def default_integer(a: int = 3) -> None: ...
def default_number(a: float = 0.5) -> None: ...
def default_true(a: bool = True) -> None: ...
def default_enum(a: Size = Size.SMALL) -> None: ...
def default_documented(a: int = 3) -> None:
    """Count.

    Args:
        a: How many.
    """


def optional(a: str | None) -> None: ...
def optional_none(a: str | None = None) -> None: ...
def optional_old(a: Optional[int] = None) -> None: ...  # noqa: UP045
def optional_default(a: int | None = 5) -> None: ...
def optional_list(a: list[str] | None = None) -> None: ...
def optional_enum(a: Size | None = None) -> None: ...
def optional_class(a: Address | None = None) -> None: ...
def union(a: int | str) -> None: ...
def union_old(a: Union[int, str, None]) -> None: ...  # noqa: UP007
def union_of_classes(a: Address | Guest) -> None: ...
def union_of_lists(a: list[int] | list[str]) -> None: ...
def literal(a: Literal["x", "y"]) -> None: ...
def literal_one(a: Literal["x"]) -> None: ...
def literal_numbers(a: Literal[1, 2]) -> None: ...
def literal_mixed(a: Literal["x", 1, None]) -> None: ...
def literal_default(a: Literal["x", "y"] = "y") -> None: ...
def enumeration(a: Size) -> None: ...
def enumeration_of_texts(a: Colour) -> None: ...
def enumeration_of_integers(a: Floor) -> None: ...
def enumeration_of_one(a: One) -> None: ...
def list_of_texts(a: list[str]) -> None: ...
def list_of_lists(a: list[list[int]]) -> None: ...
def list_of_enums(a: list[Size]) -> None: ...
def list_of_classes(a: list[Address]) -> None: ...
def list_bare(a: list) -> None: ...  # type: ignore[type-arg]
def sequence(a: Sequence[str]) -> None: ...
def set_of_texts(a: set[str]) -> None: ...
def tuple_of_any_length(a: tuple[int, ...]) -> None: ...
def tuple_fixed(a: tuple[int, str]) -> None: ...
def tuple_alike(a: tuple[float, float]) -> None: ...
def mapping(a: dict[str, int]) -> None: ...
def mapping_abstract(a: Mapping[str, str]) -> None: ...
def mapping_bare(a: dict) -> None: ...  # type: ignore[type-arg]
def anything(a: Any) -> None: ...
def date(a: datetime.date) -> None: ...
def time(a: datetime.time) -> None: ...
def moment(a: datetime.datetime) -> None: ...
def duration(a: datetime.timedelta) -> None: ...
def identifier(a: uuid.UUID) -> None: ...
def decimal(a: Decimal) -> None: ...
def new_type(a: CustomerId) -> None: ...
def alias(a: Cents) -> None: ...
def annotated(a: Annotated[str, "What it is."]) -> None: ...
def annotated_field(a: Annotated[int, Field(description="Years.", ge=0, lt=150)]) -> None: ...
def annotated_limits(a: Annotated[float, Gt(0), MultipleOf(0.5)], b: Annotated[int, Interval(ge=1, le=6)]) -> None: ...
def annotated_lengths(
    a: Annotated[str, MinLen(2), MaxLen(9)], b: Annotated[list[int], Len(1, 3)], c: Annotated[int, Ge(0), Lt(5)]
) -> None: ...
def annotated_pattern(a: Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")]) -> None: ...
def annotated_optional(a: Annotated[str | None, "Only if it was said."] = None) -> None: ...
def annotated_default(a: Annotated[int, Field(default=4, description="How many.")]) -> None: ...
def field_as_default(a: int = Field(default=4, description="How many.")) -> None: ...
def field_required(a: int = Field(ge=1)) -> None: ...
def data_class(a: Address) -> None: ...
def data_class_nested(a: Order) -> None: ...
def data_class_recursive(a: Folder) -> None: ...
def typed_dict(a: Item) -> None: ...
def named_tuple(a: Point) -> None: ...
def model(a: Guest) -> None: ...
def model_nested(a: Party) -> None: ...
def model_strict(a: Strict) -> None: ...
def model_recursive(a: Tree) -> None: ...
def model_union(a: Annotated[Cat | Dog, Field(discriminator="kind")]) -> None: ...
def model_alias(a: Aliased) -> None: ...
async def asynchronous(a: str) -> None: ...
def keyword_only(*, a: str, b: int = 1) -> None: ...


SIGNATURES: dict[str, Callable[..., Any]] = {
    name: value
    for name, value in list(globals().items())
    if getattr(value, "__module__", "") == __name__
    and callable(value)
    and not isinstance(value, type)
    and name.islower()
    and value is not CustomerId
}
"""By name, in the order of this file."""

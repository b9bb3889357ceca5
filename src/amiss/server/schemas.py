"""What requests may say; everything else in them is refused. Answers are plain JSON, described where they are made."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Word = Annotated[str, Field(min_length=1, max_length=200)]
Seq = Annotated[int, Field(ge=1, le=2**31 - 1)]
Side = Annotated[int, Field(ge=-(2**20), le=2**20)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Login(_Body):
    """Name and password of a person."""

    name: Word
    password: Annotated[str, Field(max_length=1000)]


class Labelling(_Body):
    """What a person says of a part; "withdrawn" takes back what was said before."""

    truth: Literal["good", "defective", "unclear", "withdrawn"]
    type: Annotated[str, Field(max_length=100)] | None = None
    boxes: Annotated[list[tuple[Side, Side, Side, Side]], Field(max_length=100)] = []
    comment: Annotated[str, Field(max_length=2000)] = ""


class Deploying(_Body):
    """Which version is to judge from now on, and why."""

    version: Seq
    reason: Annotated[str, Field(min_length=1, max_length=1000)]
    expected_current: Seq | None = None


class Reason(_Body):
    """Why something is done."""

    reason: Annotated[str, Field(min_length=1, max_length=1000)]


class Shadowing(_Body):
    """Which version is to judge in the shadow from now on, or none, and why."""

    version: Seq | None
    reason: Annotated[str, Field(min_length=1, max_length=1000)]


class Recalibrating(_Body):
    """Another rule, on the stored calibration scores or on audited parts that are good."""

    rule: Word = "conformal"
    alpha: Annotated[str, Field(max_length=20)] | None = None
    scores: Literal["stored", "audited"] = "stored"


class Quarantining(_Body):
    """Parts that are set aside: from one event to another, or whole lots."""

    recipe: Word
    first: Seq | None = None
    last: Seq | None = None
    lots: Annotated[list[Word], Field(max_length=200)] = []
    reason: Annotated[str, Field(min_length=1, max_length=1000)]


class Learning(_Body):
    """A model to be learned."""

    recipe: Annotated[str, Field(pattern=r"^[\w][\w.-]{0,63}$")]
    method: Word = "ensemble"
    preset: Word = "default"
    size: Annotated[int, Field(ge=16, le=2048)] = 256
    rule: Word = "conformal"

"""The setting `pictures` of a station: which parts' pictures are published, and how many."""

from __future__ import annotations

from pydantic import Field, model_validator

from edge_inspect.edge.configuration.section import Section


class PictureSettings(Section):
    """Pictures of parts over MQTT: for each chosen part the frame and its anomaly map."""

    rejects: bool = Field(
        default=True,
        description="whether the pictures of rejected parts are published, and in shadow of parts that would be "
        "rejected",
    )
    share: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="share of all other parts whose pictures are published too, spread evenly; 0.01: one of 100",
    )
    per_second: float = Field(
        default=2.0,
        gt=0,
        le=100,
        description="largest number of pictures per second; pictures beyond it are dropped and counted in health",
    )

    @model_validator(mode="after")
    def _something_is_published(self) -> PictureSettings:
        if not self.rejects and not self.share:
            raise ValueError(
                "with rejects: false and share: 0 no picture is published; set one of them, or leave pictures out"
            )
        return self

"""Where the frame of a part goes after its verdict: to the evidence on disk, and to the published pictures."""

from __future__ import annotations

from edge_inspect.edge.contract.messages import Verdict
from edge_inspect.edge.engines import AnomalyMap
from edge_inspect.edge.evidence.writer import EvidenceWriter
from edge_inspect.edge.mqtt.pictures import PicturePublisher
from edge_inspect.edge.station.part import InspectedPart


class PartKeepers:
    """The evidence and the published pictures of one station, each if it is configured.

    Args:
        station: Name of the station.
        evidence: Saves frames; all stations share it.
        pictures: Publishes the station's pictures.

    Attributes:
        pictures: See the argument.
    """

    def __init__(self, station: str, evidence: EvidenceWriter | None, pictures: PicturePublisher | None) -> None:
        self._station, self._evidence, self.pictures = station, evidence, pictures

    def offer(self, part: InspectedPart, verdict: Verdict, anomaly: AnomalyMap, *, sample: bool) -> bool:
        """Offer a part to both; return whether its frame is kept, so that it must not be overwritten. Never waits.

        Args:
            part: The part. Only the engine thread may offer one.
            verdict: Verdict on the part.
            anomaly: Anomaly map; its values are copied where they are kept.
            sample: Whether to save the part as evidence regardless of its score.
        """
        frame, regions, evidence = part.capture.frame, part.decision.regions, self._evidence
        published = self.pictures is not None and self.pictures.offer(verdict, frame, anomaly)
        saved = evidence is not None and evidence.offer(self._station, verdict, regions, frame, anomaly, sample=sample)
        return published or saved

    def close(self) -> None:
        """End the pictures. The evidence belongs to the box."""
        if self.pictures is not None:
            self.pictures.close()

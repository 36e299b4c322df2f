"""What every service tells of itself, whatever else it tells."""

from pydantic import BaseModel, ConfigDict


class ServiceStatus(BaseModel):
    """The fields every status begins with. The service fills them in when the status is shown."""

    model_config = ConfigDict(extra="forbid")

    service: str = ""
    """Its name: onboard, channel, ground, eps, sensor."""
    healthy: bool = True
    """Whether it does its work."""
    reason: str = ""
    """Why not."""
    at_ms: int = 0
    """When this was true, Unix ms."""
    started_ms: int = 0
    """When the process started, Unix ms."""
    boot: int = 0
    """Which start this is of the ones its state folder has seen, from 1."""
    pid: int = 0
    """Number of the process."""

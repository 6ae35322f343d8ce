"""From payloads to flits of a die-to-die link and back."""

from hw.link_port.receiver import LinkReceiver
from hw.link_port.transmitter import LinkTransmitter

__all__ = ["LinkReceiver", "LinkTransmitter"]

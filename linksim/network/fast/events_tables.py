"""The state of a network of events: one array of int64, for compiled code.

Links, virtual channels and messages are rows of it; a row is known by where it begins, so that
`state[link + FLIT_PS]` is a link's flit time. One array keeps calls between compiled functions
short. It only ever grows at its end, so nothing in it moves. Times are in ps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from linksim.network.fast.message import NEVER, Int64
from linksim.network.network import Network

NONE = -1
"""Stands for a message, a virtual channel or a buffer where there is none."""

HEADER = 9
(
    LIMIT_PS,  # links decide up to here
    FOUND_FIRST,  # messages that are known to be delivered, a linked list
    FOUND_LAST,
    FAILED_LINK,
    HEAP,  # binary heap of links by DECISION_PS: its first place
    HEAP_END,
    STARTS,  # rows of start, task, hop and flit of the flits sent of late
    STARTS_END,  # after the last one in use
    STARTS_LIMIT,  # after the last one there is; STARTS: do not record
) = range(HEADER)
"""Places at the beginning of the state."""

LINK_COLUMNS = 26
(
    LINK_NUMBER,  # its place among the network's links
    FLIT_PS,
    FLIGHT_PS,
    PAUSE_PS,  # from a message's last flit until another one can have its virtual channel
    FORWARDING_PS,  # of the node at the far end
    CHANNELS,  # rows of its virtual channels
    CHANNELS_END,
    CORES,  # when each of the cores of its decoder is free
    CORES_END,
    REQUESTS,  # rows of the heads of receive buffers that wait for a virtual channel
    REQUESTS_END,  # after the last one in use
    QUEUE_FIRST,  # messages that start here and wait for a virtual channel, a linked list
    QUEUE_LAST,
    HEAP_PLACE,
    DECISION_PS,  # when it decides next
    WIRE_FREE_PS,
    LAST_GRANTED,  # virtual channel
    GATHERING,  # message whose flits the decoder gathers
    GATHERING_LAST,  # last of the messages that wait to be gathered, a linked list behind it
    GATHER_PS,  # until when the decoder's gathering is known
    FLITS_SENT,
    REPLAYS,
    STALL_PS,
    WORK_PS,  # of decoder cores
    STARTED_PS,  # when the transmission of its last flit started; -1: there was none
    LAST_ARRIVED_PS,  # when that one arrives
) = range(LINK_COLUMNS)
"""Columns of a link's row."""

CHANNEL_COLUMNS = 20
(
    LINK,
    HOLDER,  # message that has the channel
    HOP,  # of the holder; the link's place on its route
    SENT,  # flits of the holder
    FREE_PS,  # when the holder's flit before had left the transmitter, or it got the channel
    SOURCE,  # virtual channel in whose receive buffer the holder's flits are
    AVAILABLE_PS,  # when the holder's next flit can be sent; NEVER: not known yet
    CREDIT_PS,  # when the next credit is back; NEVER: not known yet
    ALLOCATABLE_PS,  # when another message can have the channel
    CREDITS,  # places in each of the rings
    CREDIT_RING,  # when credits come back, rising
    CREDIT_FIRST,
    CREDIT_COUNT,
    FLIT_RING,  # when the flits in the receive buffer can be sent on
    FLIT_FIRST,
    FLIT_COUNT,
    PASSAGE_RING,  # rows of the messages in the receive buffer
    PASSAGE_FIRST,
    PASSAGE_COUNT,
    NEXT_CHANNEL,  # that the message at the head of the receive buffer has
) = range(CHANNEL_COLUMNS)
"""Columns of the row of a virtual channel of a link, and of its receive buffer."""

PASSAGE_COLUMNS = 2
PASSING, NEXT_LINK = range(PASSAGE_COLUMNS)
"""Columns of a place for a message in a receive buffer: the message, and where on its route is the
link that it is sent over next."""

REQUEST_COLUMNS = 3
REQUESTED_PS, REQUEST_ORDER, BUFFER = range(REQUEST_COLUMNS)
"""Columns of a request: since when, the message's order, the virtual channel with the buffer."""

MESSAGE_COLUMNS = 24
(
    ORDER,
    READY_PS,
    FLITS,
    ROUTE,  # rows of its links, one after another
    ROUTE_END,
    SEGMENTS_END,
    DECODED,
    DECODER_LATENCY_PS,
    SEGMENT_SENT,  # segment whose bytes complete the next flit
    NEXT_QUEUED,
    TURN_PS,
    FIRST_FLIT_PS,
    SENT_PS,
    STARVED_PS,
    CREDIT_STALL_PS,
    ARRIVED,
    ARRIVED_PS,
    LAST_CHANNEL,  # that it has on its last link
    NEXT_GATHERED,
    SEGMENT_GATHERED,  # segment that the decoder gathers
    PULLED,  # flits that have left the last buffer
    OUT_PS,  # when the segments so far are out of the decoder
    DELIVERED_PS,
    NEXT_FOUND,
) = range(MESSAGE_COLUMNS)
"""Columns of a message's row, which the rows of its segments follow."""

SEGMENT_COLUMNS = 4
READY_FLITS, READY_AT_PS, NEEDED_FLITS, OCCUPANCY_PS = range(SEGMENT_COLUMNS)
"""Columns of a segment's row, see `Message`."""

FLIT_START_COLUMNS = 4
"""Columns of a recorded flit, see `FlitStart`."""


def build_state(network: Network, decoders: Sequence[int], recorded: int) -> Int64:
    """State before the first message, with *recorded* rows for flits."""
    presets = list(network.links.values())
    counts = [preset.virtual_channels for preset in presets]
    credits_of = np.repeat(_int64(preset.credits for preset in presets), counts)
    forwards = _int64(node in network.forwarding_ps for _, node in network.links)
    forwarded = credits_of * np.repeat(forwards, counts)
    waiting = dict.fromkeys(network.nodes, 0)
    for (_, node), count in zip(network.links, counts, strict=True):
        waiting[node] += count if node in network.forwarding_ps else 0
    heap = HEADER + LINK_COLUMNS * len(presets)
    starts = heap + len(presets)
    channels, end = _spans(counts, CHANNEL_COLUMNS, starts + FLIT_START_COLUMNS * recorded)
    cores, end = _spans(decoders, 1, end)
    requests, end = _spans([waiting[node] for node, _ in network.links], REQUEST_COLUMNS, end)
    credit_rings, end = _spans(credits_of, 1, end)
    flit_rings, end = _spans(forwarded, 1, end)
    passage_rings, end = _spans(forwarded, PASSAGE_COLUMNS, end)
    state = np.zeros(end, np.int64)
    state[:HEADER] = (0, NONE, NONE, NONE, heap, starts, starts, starts, channels[0])
    rows = state[HEADER:heap].reshape(-1, LINK_COLUMNS)
    state[heap:starts] = HEADER + LINK_COLUMNS * np.arange(len(presets))
    _fill_links(rows, network)
    rows[:, CHANNELS], rows[:, CHANNELS_END] = channels[:-1], channels[1:]
    rows[:, LAST_GRANTED] = channels[1:] - CHANNEL_COLUMNS
    rows[:, CORES], rows[:, CORES_END] = cores[:-1], cores[1:]
    rows[:, REQUESTS] = rows[:, REQUESTS_END] = requests[:-1]
    rows = state[channels[0] : channels[-1]].reshape(-1, CHANNEL_COLUMNS)
    rows[:, LINK] = np.repeat(state[heap:starts], counts)
    rows[:, [HOLDER, SOURCE, NEXT_CHANNEL]] = NONE
    rows[:, AVAILABLE_PS] = NEVER
    rows[:, CREDITS] = rows[:, CREDIT_COUNT] = credits_of
    rows[:, CREDIT_RING], rows[:, FLIT_RING] = credit_rings[:-1], flit_rings[:-1]
    rows[:, PASSAGE_RING] = passage_rings[:-1]
    return state


def _fill_links(rows: Int64, network: Network) -> None:
    """Put what holds for links before anything happens into their *rows*."""
    presets = list(network.links.values())
    rows[:, LINK_NUMBER] = rows[:, HEAP_PLACE] = np.arange(len(presets))
    rows[:, FLIT_PS] = [preset.flit_ps for preset in presets]
    rows[:, FLIGHT_PS] = [preset.flight_ps for preset in presets]
    rows[:, PAUSE_PS] = [preset.reallocation_ps for preset in presets]
    rows[:, FORWARDING_PS] = [network.forwarding_ps.get(b, 0) for _, b in network.links]
    rows[:, DECISION_PS] = NEVER
    rows[:, [QUEUE_FIRST, QUEUE_LAST, GATHERING, GATHERING_LAST]] = NONE
    rows[:, [STARTED_PS, LAST_ARRIVED_PS]] = -1


def _spans(counts: Iterable[int], columns: int, first: int) -> tuple[Int64, int]:
    """Where groups of so many rows of *columns* begin, one after another from *first*.

    Returns int64 [groups + 1], the last of it where all of them end, and that end once more.
    """
    begins = first + columns * np.concatenate([_int64([0]), np.cumsum(_int64(counts))])
    return begins, int(begins[-1])


def _int64(values: Iterable[int]) -> Int64:
    return np.fromiter(values, np.int64)

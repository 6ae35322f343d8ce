"""What the lossless codec makes of a trace's all-reduces, partial sums and all."""

from __future__ import annotations

from fractions import Fraction

from linksim.codecs.book_building import build_books
from linksim.codecs.selection import CodecChooser
from linksim.replay.scenario import Selection
from linksim.replay.schedule import select
from linksim.tensors.dtypes import format_of
from linksim.traces.store import Trace

VIEW = "exponent"


def coded_share(trace: Trace, *, phase: str = "prefill", from_batch: int = 2) -> Fraction:
    """Coded bytes per byte of what crosses the links in *phase* of *trace*, from *from_batch* on.

    Fixed codebooks per kind and layer are built on the batches before; messages are coded in the
    bulk profile, framing included. LinksimError where the phase or the batches have nothing.
    """
    wanted = Selection(phase=phase, from_batch=from_batch, compute=False)
    earlier = select(trace, wanted, earlier=True).messages
    books = build_books(
        ((one.kind, one.layer, one.hop.values) for one in earlier),
        (VIEW,),
        f"{trace.manifest.name}, {phase} before batch {from_batch}",
        per_layer=True,
    )
    chooser = CodecChooser("huffman-fixed", VIEW, "bulk", books=books)
    coded = raw = 0
    for one in select(trace, wanted).messages:
        values = one.hop.values
        codec, _ = chooser.codec_for(one.id, one.kind, one.layer, values)
        coded += codec.encoded_nbytes(values)
        raw += format_of(values).nbytes(values.size)
    return Fraction(coded, raw)

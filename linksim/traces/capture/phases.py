"""Tensors and schedule of the three inference phases of one batch."""

from __future__ import annotations

from linksim.tensors.dtypes import Tensor
from linksim.traces.capture.geometry import Clock, Geometry
from linksim.traces.capture.inference import InferenceTensors
from linksim.traces.manifest import CommunicationEvent, ComputeEvent, Shard
from linksim.traces.store import TraceWriter


def tensor_file(batch: int, phase: str) -> str:
    """Where the tensors of one batch and phase lie below the trace folder."""
    return f"tensors/batch{batch}-{phase}.safetensors"


class PhaseRecorder:
    """Adds the inference tensors of one batch after the other to a trace."""

    def __init__(self, writer: TraceWriter, geometry: Geometry, clock: Clock, tokens: int):
        self._writer = writer
        self._geometry = geometry
        self._clock = clock
        self._tokens = tokens

    def prefill(self, batch: int, kept: InferenceTensors) -> None:
        """Tensor-parallel layers: per rank compute, all-reduce, twice per layer.

        All is one chain, also from batch to batch: the ranks are the same.
        """
        previous = f"b{batch - 1}.l{self._geometry.layers - 1}.ffn2.all_reduce" if batch else None
        for layer, attention in kept.attention_partials.items():
            for block, partials in (("attention", attention), ("ffn2", kept.ffn2_partials[layer])):
                previous = self._all_reduce(batch, layer, block, partials, previous)

    def _all_reduce(
        self, batch: int, layer: int, block: str, partials: list[Tensor], after: str | None
    ) -> str:
        name, ranks = f"b{batch}.l{layer}.{block}", len(partials)
        count = self._geometry.attention_flops if block == "attention" else self._geometry.ffn_flops
        duration_ps = self._clock.duration_ps(count(self._tokens, ranks))
        kind = "attention_output_partial" if block == "attention" else "ffn2_output_partial"
        tensors = {}
        for rank, values in enumerate(partials):
            tensors[f"tp{rank}"] = self._writer.add_tensor(
                f"{name}.tp{rank}",
                values,
                kind=kind,
                file=tensor_file(batch, "prefill"),
                batch=batch,
                layer=layer,
                shard=Shard(index=rank, count=ranks),
            )
        computes = [
            self._compute(f"{name}.compute.{rank}", rank, duration_ps, after, batch, "prefill")
            for rank in tensors
        ]
        return self._writer.add_event(
            CommunicationEvent(
                op="all_reduce",
                id=f"{name}.all_reduce",
                ranks=tuple(tensors),
                tensors=tensors,
                after=tuple(computes),
                phase="prefill",
                batch=batch,
            )
        )

    def pipeline(self, batch: int, kept: InferenceTensors, stage_count: int) -> None:
        """Pipeline stages: each computes its layers and sends the residual to the next stage."""
        arrived: str | None = None
        for stage, layers in enumerate(self._geometry.stages(stage_count)):
            flops = len(layers) * self._geometry.layer_flops(self._tokens)
            busy = f"b{batch - 1}.stage{stage}.compute" if batch else None
            compute = self._compute(
                f"b{batch}.stage{stage}.compute",
                f"stage{stage}",
                self._clock.duration_ps(flops),
                (arrived, busy),
                batch,
                "pipeline",
            )
            if stage < stage_count - 1:
                arrived = self._send(
                    f"b{batch}.stage{stage}.residual",
                    kept.residuals[layers[-1]],
                    kind="residual",
                    ranks=(f"stage{stage}", f"stage{stage + 1}"),
                    after=compute,
                    phase="pipeline",
                    batch=batch,
                    layer=layers[-1],
                )

    def handoff(self, batch: int, kept: InferenceTensors) -> None:
        """KV cache to a decode device: a layer's send overlaps the next layer's compute."""
        last = f"b{batch - 1}.l{self._geometry.layers - 1}.handoff.compute" if batch else None
        duration_ps = self._clock.duration_ps(self._geometry.layer_flops(self._tokens))
        for layer, keys in kept.keys.items():
            name = f"b{batch}.l{layer}"
            last = self._compute(
                f"{name}.handoff.compute", "prefill", duration_ps, last, batch, "handoff"
            )
            for part, values in (("key", keys), ("value", kept.values[layer])):
                self._send(
                    f"{name}.{part}",
                    values,
                    kind=f"kv_{part}",
                    ranks=("prefill", "decode"),
                    after=last,
                    phase="handoff",
                    batch=batch,
                    layer=layer,
                )

    def _compute(
        self,
        name: str,
        rank: str,
        duration_ps: int,
        after: str | tuple[str | None, ...] | None,
        batch: int,
        phase: str,
    ) -> str:
        waits = after if isinstance(after, tuple) else (after,)
        return self._writer.add_event(
            ComputeEvent(
                op="compute",
                id=name,
                rank=rank,
                duration_ps=duration_ps,
                after=tuple(other for other in waits if other is not None),
                phase=phase,
                batch=batch,
            )
        )

    def _send(
        self,
        name: str,
        values: Tensor,
        *,
        kind: str,
        ranks: tuple[str, str],
        after: str,
        phase: str,
        batch: int,
        layer: int,
    ) -> str:
        self._writer.add_tensor(
            name, values, kind=kind, file=tensor_file(batch, phase), batch=batch, layer=layer
        )
        return self._writer.add_event(
            CommunicationEvent(
                op="send",
                id=f"{name}.send",
                ranks=ranks,
                tensors={ranks[0]: name},
                after=(after,),
                phase=phase,
                batch=batch,
            )
        )

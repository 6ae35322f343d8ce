"""A Liberty file of five cells: areas in round numbers, delays that grow with load and slope."""

from __future__ import annotations

_HEAD = """
library (asap7sc7p5t_tiny) {
  delay_model : table_lookup;
  time_unit : "1ps"; voltage_unit : "1V"; current_unit : "1mA"; pulling_resistance_unit : "1kohm";
  leakage_power_unit : "1pW"; capacitive_load_unit (1,ff);
  nom_voltage : 0.7; nom_temperature : 25; nom_process : 1;
  slew_lower_threshold_pct_rise : 10; slew_upper_threshold_pct_rise : 90;
  slew_lower_threshold_pct_fall : 10; slew_upper_threshold_pct_fall : 90;
  input_threshold_pct_rise : 50; input_threshold_pct_fall : 50;
  output_threshold_pct_rise : 50; output_threshold_pct_fall : 50;
  lu_table_template (t) { variable_1 : input_net_transition;
    variable_2 : total_output_net_capacitance; index_1 ("1, 10, 100"); index_2 ("1, 10, 100"); }
  lu_table_template (c) { variable_1 : related_pin_transition;
    variable_2 : constrained_pin_transition; index_1 ("1, 10, 100"); index_2 ("1, 10, 100"); }
"""
_TABLES = "".join(
    f'{name} (t) {{ values ("10, 20, 60", "15, 25, 70", "20, 30, 80"); }} '
    for name in ("cell_rise", "cell_fall", "rise_transition", "fall_transition")
)
_CHECKS = "".join(
    f'{edge}_constraint (c) {{ values ("5, 5, 5", "5, 5, 5", "5, 5, 5"); }} '
    for edge in ("rise", "fall")
)


def _gate(name: str, area: float, inputs: str, function: str, sense: str) -> str:
    pins = "".join(f"pin ({pin}) {{ direction : input; capacitance : 1; }} " for pin in inputs)
    arcs = "".join(
        f'timing () {{ related_pin : "{pin}"; timing_sense : {sense}_unate; {_TABLES}}} '
        for pin in inputs
    )
    return (
        f"cell ({name}) {{ area : {area}; {pins}pin (Y) {{ direction : output; "
        f'max_capacitance : 200; function : "{function}"; {arcs}}} }}\n'
    )


def _flip_flop() -> str:
    checks = "".join(
        f'timing () {{ related_pin : "CLK"; timing_type : {kind}_rising; {_CHECKS}}} '
        for kind in ("setup", "hold")
    )
    return (
        'cell (DFFHQx1_ASAP7_75t_R) { area : 3; ff (IQ,IQN) { clocked_on : "CLK"; '
        'next_state : "D"; } pin (CLK) { direction : input; clock : true; capacitance : 1; } '
        f"pin (D) {{ direction : input; capacitance : 1; {checks}}} "
        'pin (Q) { direction : output; max_capacitance : 200; function : "IQ"; '
        f'timing () {{ related_pin : "CLK"; timing_type : rising_edge; {_TABLES}}} }} }}\n'
    )


def tiny_liberty() -> str:
    """Recognised as ASAP7; the area of its NAND2 is 1."""
    return (
        _HEAD
        + _gate("NAND2x1_ASAP7_75t_R", 1, "AB", "!(A&B)", "negative")
        + _gate("NAND2x2_ASAP7_75t_R", 2, "AB", "!(A&B)", "negative")
        + _gate("INVx1_ASAP7_75t_R", 0.5, "A", "!A", "negative")
        + _gate("BUFx2_ASAP7_75t_R", 1.5, "A", "A", "positive")
        + _flip_flop()
        + "}\n"
    )

"""Gates, area, clock and FPGA resources of the cores, by Yosys, ABC, OpenSTA and nextpnr."""

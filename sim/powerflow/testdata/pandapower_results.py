"""What pandapower computes, for the tests to compare with.

  pip install pandapower==3.5.6 simbench==1.6.3 numba
  python pandapower_results.py ../../../grid/simbench/testdata/lv

writes NAME.json, the network as pandapower.to_json has it less what isn't read,
and NAME.results.json.
"""
import json
import pathlib
import sys
import tempfile
import warnings

import pandapower
import pandapower.networks
import simbench

warnings.filterwarnings("ignore")
TABLES = {
    "bus": ["vn_kv", "in_service"],
    "line": ["from_bus", "to_bus", "length_km", "r_ohm_per_km", "x_ohm_per_km", "c_nf_per_km", "parallel", "in_service"],
    "trafo": ["hv_bus", "lv_bus", "sn_mva", "vn_hv_kv", "vn_lv_kv", "vk_percent", "vkr_percent", "pfe_kw", "i0_percent", "vector_group", "shift_degree",
              "tap_side", "tap_neutral", "tap_pos", "tap_step_percent", "parallel", "in_service"],
    "switch": ["bus", "element", "et", "type", "closed"],
    "load": ["bus", "in_service"],
    "asymmetric_load": ["bus", "p_a_mw", "p_b_mw", "p_c_mw", "in_service"],
    "ext_grid": ["bus", "vm_pu", "in_service"],
}
DEFAULTS = {"in_service": True, "parallel": 1, "c_nf_per_km": 0.0, "closed": True}


def network(net, name):
    """Writes the network with the tables and columns that are read."""
    slim = {"name": name}
    for table, columns in TABLES.items():
        frame = net[table]
        if len(frame):
            there = [c for c in columns if c in frame and not frame[c].isin([DEFAULTS.get(c)]).all()]
            slim[table] = {"_module": "pandas.core.frame", "_class": "DataFrame", "orient": "split",
                           "_object": json.loads(frame[there].to_json(orient="split", double_precision=15))}
    write(name + ".json", {"_module": "pandapower.auxiliary", "_class": "pandapowerNet", "_object": slim})


def write(name, what):
    text = json.dumps(what, separators=(",", ":"))
    pathlib.Path(name).write_text(text.replace('"},"', '"},\n"').replace('},"', '},\n"') + "\n")


def loads(net, id_of):
    """P and Q by service point, in W and var."""
    out = {}
    for i, row in net.load.iterrows():
        out[id_of("load", i)] = [row.p_mw * row.scaling * 1e6, row.q_mvar * row.scaling * 1e6]
    for i, row in net.asymmetric_load.iterrows():
        out[id_of("asymmetric_load", i)] = [sum(row[f"p_{p}_mw"] for p in "abc") * row.scaling * 1e6,
                                       sum(row[f"q_{p}_mvar"] for p in "abc") * row.scaling * 1e6]
    return out


def results(net, name, id_of=lambda table, i: f"{table}-{i}", **more):
    out = {"made_by": f"pandapower {pandapower.__version__}", "loads": loads(net, id_of), "buses": {}, "lines": {}, "transformers": {}, **more}
    phases = "_abc" if "phases" in more else "_"
    bus, line, trafo = [net["res_" + t + ("_3ph" if "phases" in more else "")] for t in ("bus", "line", "trafo")]
    every = 1 + len(bus) // 100  # of a large network, a part tells
    for i, row in bus.dropna(how="all").iloc[::every].iterrows():
        out["buses"][id_of("bus", i)] = [row[f"vm_{p}_pu"] for p in "abc"] if "phases" in more else [row.vm_pu] * 3
    for i, row in line.dropna(how="all").iloc[::every].iterrows():
        kind = (lambda end: [row[f"i_{p}_{end}_ka"] * 1e3 for p in "abc"]) if "phases" in more else (lambda end: [row[f"i_{end}_ka"] * 1e3] * 3)
        out["lines"][id_of("line", i)] = {"from": kind("from"), "to": kind("to")}
    for i, row in trafo.dropna(how="all").iterrows():
        out["transformers"][id_of("trafo", i)] = [row[f"i_{p}_hv_ka"] * 1e3 for p in "abc"] if "phases" in more else [row.i_hv_ka * 1e3] * 3
    source = net["res_ext_grid_3ph" if "phases" in more else "res_ext_grid"]
    given = sum(source[c].sum() for c in source if c.startswith("p_")) * 1e6
    out["losses"] = given - sum(p for p, _ in out["loads"].values())
    write(name + ".results.json", json.loads(json.dumps(out), parse_float=lambda x: float(f"{float(x):.10g}")))
    print(f"{name}: {len(out['buses'])} buses, least {min(min(v) for v in out['buses'].values()):.6f} pu, losses {out['losses'] / 1e3:.3f} kW")


def balanced(net, name, **more):
    pandapower.runpp(net, tolerance_mva=1e-11, max_iteration=50)
    results(net, name, **more)


def four_wires(net):
    """The neutral as in package powerflow: as a phase, earthed at the transformer."""
    net.line["r0_ohm_per_km"] = 4 * net.line.r_ohm_per_km
    net.line["x0_ohm_per_km"] = 4 * net.line.x_ohm_per_km
    net.line["c0_nf_per_km"] = net.line.c_nf_per_km
    net.trafo["vector_group"] = "Dyn"
    net.trafo["vk0_percent"], net.trafo["vkr0_percent"] = net.trafo.vk_percent, net.trafo.vkr_percent
    net.trafo["mag0_percent"], net.trafo["mag0_rx"], net.trafo["si0_hv_partial"] = 1e9, 0.0, 0.9
    net.ext_grid["s_sc_max_mva"], net.ext_grid["rx_max"], net.ext_grid["r0x0_max"], net.ext_grid["x0x_max"] = 1e9, 0.1, 0.1, 1.0


balanced(pandapower.networks.case33bw(), "case33bw")  # its network is beside package grid/pandapower

net = pandapower.networks.create_cigre_network_mv(with_der=False)
net.trafo["tap_side"], net.trafo["tap_neutral"], net.trafo["tap_step_percent"], net.trafo["tap_pos"] = "hv", 0, 2.5, -1
net.trafo["tap_changer_type"] = "Ratio"
network(net, "cigre_mv")
balanced(net, "cigre_mv")

net = pandapower.networks.create_cigre_network_lv()
net.trafo["tap_side"], net.trafo["tap_neutral"], net.trafo["tap_step_percent"], net.trafo["tap_pos"] = "lv", 0, 2.5, [0, 1, -2]
net.trafo["tap_changer_type"] = "Ratio"
net.trafo.loc[1, "parallel"], net.line.loc[[3, 20], "parallel"] = 2, 2
net.ext_grid["vm_pu"] = 1.03
network(net, "cigre_lv")
balanced(net, "cigre_lv")

net = pandapower.networks.ieee_european_lv_asymmetric("on_peak_566")
four_wires(net)
network(net, "european_lv")
pandapower.runpp_3ph(net, tolerance_mva=1e-11, max_iteration=100)
results(net, "european_lv", phases=True)

with tempfile.TemporaryDirectory() as folder:
    for file in pathlib.Path(sys.argv[1]).glob("*.csv"):
        pathlib.Path(folder, file.name).write_text(file.read_text())
    nodes = pathlib.Path(folder, "Node.csv").read_text().split()
    places = sorted({cell for line in nodes for cell in line.split(";") if cell.startswith("coord_")})
    rows = "".join(f"{place};11;53;LV;7\n" for place in places)  # the subset has none, and the converter asks for them
    pathlib.Path(folder, "Coordinates.csv").write_text("id;x;y;subnet;voltLvl\n" + rows)
    net = simbench.csv2pp(folder)
source = net.bus.index[net.bus.vn_kv == 20.0][0]
pandapower.create_ext_grid(net, source, vm_pu=1.025)
named = {table: net[table]["name"] for table in ("bus", "line", "trafo", "load")}
balanced(net, "simbench_lv", id_of=lambda table, i: named[table][i])

// Package grid is the model of an electricity network: its assets, how they
// are connected, and when that holds. A Model is what people edit; a Snapshot
// of it is a graph made for questions that are asked often, such as who has no
// supply with these switches open.
//
// Nothing here reads files or clocks. The formats are in gridfile, pandapower
// and simbench.
package grid

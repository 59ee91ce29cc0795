// Package powerflow computes the voltages and currents of a network that is
// operated radially, by backward and forward sweeps over its trees.
//
// Each of the three phases is computed. A voltage is that of a phase against the
// neutral, and loads are between the two. A line's phases have its impedance in
// symmetrical operation and don't influence each other; in low voltage the
// neutral has the impedance of a phase and is earthed at the transformer only, so
// that what a phase's load lets it drop lifts the others. A transformer
// with an odd clock number, such as Dyn5 or YNd5, passes differences of phases,
// and so nothing that is common to them; one with an even number passes them as
// they are. Where one of three phases above 1 kV is interrupted, its far side
// floats between the other two, which behind a Dyn transformer makes 100, 50
// and 50 %. Steady state at one frequency: there are no faults, which draw what
// constant power can't describe.
package powerflow

// Package telemetry is the language that every part of Busbar speaks: signals,
// samples and their quality, blocks of samples, and events. It does no I/O.
package telemetry

// Package log reads Kafka, and holds the embedded broker that stands in for it
// when Busbar is tried out on one machine.
package log

package lake

import (
	"encoding/binary"
	"fmt"

	"github.com/busbar/busbar/cloud/lake/iceberg"
	"github.com/busbar/busbar/cloud/lake/parquet"
)

// The table's columns, in the order in which they are written. docs/lake.md describes them.
const (
	colGateway = iota
	colDevice
	colName
	colUnit
	colKind
	colAsset
	colTime
	colValue
	colInteger
	colText
	colBoolean
	colType
	colValidity
	colReason
	colFlags
	colTimeQuality
	colEpoch
	colSeqFirst
	colSeqLast
	colSignalTable
	colSignal
	colOverlap
	columnCount
)

var columns = [columnCount]struct {
	name     string
	kind     parquet.Type
	required bool
	doc      string
}{
	colGateway:     {"gateway", parquet.String, true, "the gateway's id"},
	colDevice:      {"device", parquet.String, false, "the device's id on the gateway; null if the signal's table hadn't come"},
	colName:        {"name", parquet.String, false, "the signal, after IEC 61850 where it has a name"},
	colUnit:        {"unit", parquet.String, false, "UCUM, and var and varh"},
	colKind:        {"kind", parquet.String, false, "gauge, counter or state"},
	colAsset:       {"asset", parquet.String, false, "the part of the network that it is about"},
	colTime:        {"time", parquet.Timestamp, true, "the source's time, in microseconds of UTC"},
	colValue:       {"value", parquet.Double, false, "the value in the unit; integers beyond 2^53 are rounded; null of texts and where there is none"},
	colInteger:     {"integer", parquet.Decimal20, false, "the value of type int64 or uint64, exactly"},
	colText:        {"text", parquet.String, false, "the value of type text"},
	colBoolean:     {"boolean", parquet.Boolean, false, "the value of type bool"},
	colType:        {"type", parquet.String, true, "float64, int64, uint64, bool, text, or none if no value was obtained"},
	colValidity:    {"validity", parquet.String, true, "good, uncertain or bad"},
	colReason:      {"reason", parquet.String, false, "why it isn't good"},
	colFlags:       {"flags", parquet.Int, true, "1 stale, 2 substituted, 4 estimated, 8 overflow, 16 out of range, 32 oscillatory, 64 test, 128 clock jumped"},
	colTimeQuality: {"time_quality", parquet.String, true, "gateway, device or unsynchronised"},
	colEpoch:       {"epoch", parquet.String, true, "the process of the gateway that wrote the record, 16 hexadecimal digits"},
	colSeqFirst:    {"seq_first", parquet.Long, true, "the record's first sequence number in the epoch"},
	colSeqLast:     {"seq_last", parquet.Long, true, "its last"},
	colSignalTable: {"signal_table", parquet.String, true, "the gateway's signal table, 16 hexadecimal digits"},
	colSignal:      {"signal", parquet.Long, true, "the signal's id in it"},
	colOverlap:     {"overlap", parquet.Boolean, true, "the record overlaps with others, as thinned ones may: this sample may be there twice"},
}

var icebergTypes = map[parquet.Type]string{parquet.String: "string", parquet.Long: "long", parquet.Int: "int", parquet.Double: "double",
	parquet.Boolean: "boolean", parquet.Timestamp: "timestamptz", parquet.Decimal20: "decimal(20, 0)"}

// Definition is the table as Iceberg has it.
func Definition() iceberg.Definition {
	d := iceberg.Definition{Day: fieldID(colTime), Properties: map[string]string{"comment": "Busbar's samples, one a row",
		"write.format.default": "parquet", "busbar.format": "1"}}
	for i, c := range columns {
		d.Fields = append(d.Fields, iceberg.Field{ID: fieldID(i), Name: c.name, Required: c.required, Type: icebergTypes[c.kind], Doc: c.doc})
	}
	return d
}

func fieldID(column int) int { return column + 1 }

func parquetColumns() (list []parquet.Column) {
	for i, c := range columns {
		list = append(list, parquet.Column{ID: fieldID(i), Name: c.name, Type: c.kind, Required: c.required})
	}
	return list
}

// dayName is a day of the partition: 2026-03-29.
func dayName(day int32) string {
	at := telemetryDay(day)
	if y := at.Year(); y < 0 || y > 9999 {
		return fmt.Sprint(day)
	}
	return at.Format("2006-01-02")
}

func longBound(v int64) []byte { return binary.LittleEndian.AppendUint64(nil, uint64(v)) }

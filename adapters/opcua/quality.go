package opcua

import (
	"github.com/gopcua/opcua/ua"

	"github.com/busbar/busbar/telemetry"
)

// validity is the severity of a status (OPC 10000-4, 7.38). Its two highest bits are
// reserved where they are both set, which counts as bad.
func validity(s ua.StatusCode) telemetry.Validity {
	switch s >> 30 {
	case 0:
		return telemetry.Good
	case 1:
		return telemetry.Uncertain
	}
	return telemetry.Bad
}

// Info bits of the status of a value (OPC 10000-4, 7.38.1, table of DataValue InfoBits).
const (
	infoDataValue = 0x0400
	infoOverflow  = 0x0080
	codeMask      = 0xFFFF0000
)

// quality is what a status says of a value, without whose clock stamped it.
func quality(s ua.StatusCode) telemetry.Quality {
	v := validity(s)
	code := s & codeMask
	q := telemetry.MakeQuality(v, telemetry.GatewayTime, telemetry.NoReason)
	switch v {
	case telemetry.Bad:
		q = telemetry.MakeQuality(v, telemetry.GatewayTime, reason(code))
	default:
		q |= flags[code]
	}
	if s&infoDataValue != 0 && s&infoOverflow != 0 {
		q |= queueOverflow
	}
	return q
}

// queueOverflow is that the server's queue of the item was full, so that values before
// this one are missing: the same as of a contact that changes faster than is taken.
const queueOverflow = telemetry.Oscillatory

func overflown(s telemetry.Sample) bool { return s.Quality.Has(queueOverflow) }

var flags = map[ua.StatusCode]telemetry.Quality{
	ua.StatusGoodLocalOverride:                       telemetry.Substituted,
	ua.StatusGoodClamped:                             telemetry.OutOfRange,
	ua.StatusUncertainNoCommunicationLastUsableValue: telemetry.Stale,
	ua.StatusUncertainLastUsableValue:                telemetry.Stale,
	ua.StatusUncertainSubstituteValue:                telemetry.Substituted,
	ua.StatusUncertainInitialValue:                   telemetry.Substituted,
	ua.StatusUncertainEngineeringUnitsExceeded:       telemetry.OutOfRange,
	ua.StatusUncertainSubNormal:                      telemetry.Estimated,
	ua.StatusUncertainDataSubNormal:                  telemetry.Estimated,
}

// reason is why there is no value, by the code of a bad status.
func reason(code ua.StatusCode) telemetry.Reason {
	switch code {
	case ua.StatusBadTimeout, ua.StatusBadRequestTimeout:
		return telemetry.Timeout
	case ua.StatusBadNotConnected, ua.StatusBadNoCommunication, ua.StatusBadCommunicationError, ua.StatusBadServerNotConnected,
		ua.StatusBadConnectionClosed, ua.StatusBadConnectionRejected, ua.StatusBadDisconnect, ua.StatusBadWaitingForInitialData:
		return telemetry.NotConnected
	case ua.StatusBadSensorFailure, ua.StatusBadDeviceFailure:
		return telemetry.SensorFailure
	case ua.StatusBadOutOfService:
		return telemetry.OutOfService
	case ua.StatusBadNodeIDUnknown, ua.StatusBadNodeIDInvalid, ua.StatusBadAttributeIDInvalid, ua.StatusBadIndexRangeInvalid,
		ua.StatusBadIndexRangeNoData, ua.StatusBadNoData, ua.StatusBadNoDataAvailable, ua.StatusBadNotSupported,
		ua.StatusBadNotImplemented, ua.StatusBadNotFound:
		return telemetry.NotImplemented
	case ua.StatusBadDecodingError, ua.StatusBadEncodingError, ua.StatusBadDataEncodingInvalid, ua.StatusBadDataEncodingUnsupported,
		ua.StatusBadTypeMismatch, ua.StatusBadDataTypeIDUnknown, ua.StatusBadEncodingLimitsExceeded:
		return telemetry.Malformed
	}
	return telemetry.Refused
}

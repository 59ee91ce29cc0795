package modbus

import (
	"errors"

	goburrow "github.com/goburrow/modbus"

	"github.com/busbar/busbar/telemetry"
)

// failure is an exchange that brought no answer, and what that says about the
// values.
type failure struct {
	reason telemetry.Reason
	err    error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// reasonOf says why values are missing. A serial gateway that answers in its
// unit's place reports that the unit didn't: to those who look for a loss of
// supply that must look the same as a unit that is silent itself.
func reasonOf(err error) telemetry.Reason {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.reason
	}
	if e, ok := errors.AsType[*goburrow.ModbusError](err); ok {
		switch e.ExceptionCode {
		case goburrow.ExceptionCodeGatewayPathUnavailable:
			return telemetry.NotConnected
		case goburrow.ExceptionCodeGatewayTargetDeviceFailedToRespond:
			return telemetry.Timeout
		}
		return telemetry.Refused
	}
	return telemetry.Malformed
}

// exceptionOf is the code of the device's exception, 0 if the error is no such.
func exceptionOf(err error) byte {
	if e, ok := errors.AsType[*goburrow.ModbusError](err); ok {
		return e.ExceptionCode
	}
	return 0
}

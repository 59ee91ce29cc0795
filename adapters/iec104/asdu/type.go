// Package asdu reads and writes the application data of IEC 60870-5-101 and -104: what
// stations tell each other, without how it gets there. Nothing in it allocates, and what
// is read refers to the bytes that it was read from.
package asdu

import "fmt"

// Type is the type identification of an ASDU (IEC 60870-5-101, 7.2.1).
type Type uint8

// In monitoring direction: TA has a time of three octets, TB and higher one of seven, NA
// none.
const (
	SinglePoint          Type = 1   // M_SP_NA
	SinglePointTime24    Type = 2   // M_SP_TA
	DoublePoint          Type = 3   // M_DP_NA
	DoublePointTime24    Type = 4   // M_DP_TA
	StepPosition         Type = 5   // M_ST_NA
	StepPositionTime24   Type = 6   // M_ST_TA
	Bitstring            Type = 7   // M_BO_NA
	BitstringTime24      Type = 8   // M_BO_TA
	Normalized           Type = 9   // M_ME_NA
	NormalizedTime24     Type = 10  // M_ME_TA
	Scaled               Type = 11  // M_ME_NB
	ScaledTime24         Type = 12  // M_ME_TB
	ShortFloat           Type = 13  // M_ME_NC
	ShortFloatTime24     Type = 14  // M_ME_TC
	Totals               Type = 15  // M_IT_NA
	TotalsTime24         Type = 16  // M_IT_TA
	ProtectionTime24     Type = 17  // M_EP_TA
	StartTime24          Type = 18  // M_EP_TB
	OutputTime24         Type = 19  // M_EP_TC
	PackedSinglePoints   Type = 20  // M_PS_NA
	NormalizedNoQuality  Type = 21  // M_ME_ND
	SinglePointTime56    Type = 30  // M_SP_TB
	DoublePointTime56    Type = 31  // M_DP_TB
	StepPositionTime56   Type = 32  // M_ST_TB
	BitstringTime56      Type = 33  // M_BO_TB
	NormalizedTime56     Type = 34  // M_ME_TD
	ScaledTime56         Type = 35  // M_ME_TE
	ShortFloatTime56     Type = 36  // M_ME_TF
	TotalsTime56         Type = 37  // M_IT_TB
	ProtectionTime56     Type = 38  // M_EP_TD
	StartTime56          Type = 39  // M_EP_TE
	OutputTime56         Type = 40  // M_EP_TF
	EndOfInitialization  Type = 70  // M_EI_NA
	ParameterNormalized  Type = 110 // P_ME_NA
	ParameterScaled      Type = 111 // P_ME_NB
	ParameterShortFloat  Type = 112 // P_ME_NC
	ParameterActivation  Type = 113 // P_AC_NA
	SingleCommand        Type = 45  // C_SC_NA
	DoubleCommand        Type = 46  // C_DC_NA
	StepCommand          Type = 47  // C_RC_NA
	SetNormalized        Type = 48  // C_SE_NA
	SetScaled            Type = 49  // C_SE_NB
	SetShortFloat        Type = 50  // C_SE_NC
	SetBitstring         Type = 51  // C_BO_NA
	SingleCommandTime    Type = 58  // C_SC_TA
	DoubleCommandTime    Type = 59  // C_DC_TA
	StepCommandTime      Type = 60  // C_RC_TA
	SetNormalizedTime    Type = 61  // C_SE_TA
	SetScaledTime        Type = 62  // C_SE_TB
	SetShortFloatTime    Type = 63  // C_SE_TC
	SetBitstringTime     Type = 64  // C_BO_TA
	Interrogation        Type = 100 // C_IC_NA
	CounterInterrogation Type = 101 // C_CI_NA
	Read                 Type = 102 // C_RD_NA
	ClockSync            Type = 103 // C_CS_NA
	TestCommand          Type = 104 // C_TS_NA
	ResetProcess         Type = 105 // C_RP_NA
	DelayAcquisition     Type = 106 // C_CD_NA
	TestCommandTime      Type = 107 // C_TS_TA
)

// element is what an information object of a type holds in front of its time.
type element uint8

const (
	noElement element = iota
	siq               // single point with quality
	diq               // double point with quality
	vti               // step position with quality
	bsi               // 32 bits with quality
	nva               // normalized with quality
	sva               // scaled with quality
	float             // short floating point with quality
	bcr               // integrated totals
	sep               // event of protection equipment, elapsed time
	spe               // start events, quality, elapsed time
	oci               // output circuits, quality, elapsed time
	scd               // 16 single points and their changes, with quality
	nvaAlone          // normalized
	sco               // single command
	dco               // double command
	rco               // regulating step command
	nvaSet            // normalized with qualifier of set point
	svaSet            // scaled with it
	floatSet          // short floating point with it
	bsiAlone          // 32 bits
	coi               // cause of initialisation
	qualifier         // one octet of QOI, QCC, QRP or QPA
	pattern           // fixed test pattern
	delay             // elapsed time
	counter           // test sequence counter
	nvaParameter
	svaParameter
	floatParameter
)

type layout struct {
	name    string
	element element
	size    uint8 // of the element
	time    uint8 // of the time behind it: 0, 3 or 7
}

var layouts = [...]layout{
	SinglePoint: {"M_SP_NA", siq, 1, 0}, SinglePointTime24: {"M_SP_TA", siq, 1, 3}, SinglePointTime56: {"M_SP_TB", siq, 1, 7},
	DoublePoint: {"M_DP_NA", diq, 1, 0}, DoublePointTime24: {"M_DP_TA", diq, 1, 3}, DoublePointTime56: {"M_DP_TB", diq, 1, 7},
	StepPosition: {"M_ST_NA", vti, 2, 0}, StepPositionTime24: {"M_ST_TA", vti, 2, 3}, StepPositionTime56: {"M_ST_TB", vti, 2, 7},
	Bitstring: {"M_BO_NA", bsi, 5, 0}, BitstringTime24: {"M_BO_TA", bsi, 5, 3}, BitstringTime56: {"M_BO_TB", bsi, 5, 7},
	Normalized: {"M_ME_NA", nva, 3, 0}, NormalizedTime24: {"M_ME_TA", nva, 3, 3}, NormalizedTime56: {"M_ME_TD", nva, 3, 7},
	Scaled: {"M_ME_NB", sva, 3, 0}, ScaledTime24: {"M_ME_TB", sva, 3, 3}, ScaledTime56: {"M_ME_TE", sva, 3, 7},
	ShortFloat: {"M_ME_NC", float, 5, 0}, ShortFloatTime24: {"M_ME_TC", float, 5, 3}, ShortFloatTime56: {"M_ME_TF", float, 5, 7},
	Totals: {"M_IT_NA", bcr, 5, 0}, TotalsTime24: {"M_IT_TA", bcr, 5, 3}, TotalsTime56: {"M_IT_TB", bcr, 5, 7},
	ProtectionTime24: {"M_EP_TA", sep, 3, 3}, ProtectionTime56: {"M_EP_TD", sep, 3, 7},
	StartTime24: {"M_EP_TB", spe, 4, 3}, StartTime56: {"M_EP_TE", spe, 4, 7},
	OutputTime24: {"M_EP_TC", oci, 4, 3}, OutputTime56: {"M_EP_TF", oci, 4, 7},
	PackedSinglePoints: {"M_PS_NA", scd, 5, 0}, NormalizedNoQuality: {"M_ME_ND", nvaAlone, 2, 0},
	SingleCommand: {"C_SC_NA", sco, 1, 0}, SingleCommandTime: {"C_SC_TA", sco, 1, 7},
	DoubleCommand: {"C_DC_NA", dco, 1, 0}, DoubleCommandTime: {"C_DC_TA", dco, 1, 7},
	StepCommand: {"C_RC_NA", rco, 1, 0}, StepCommandTime: {"C_RC_TA", rco, 1, 7},
	SetNormalized: {"C_SE_NA", nvaSet, 3, 0}, SetNormalizedTime: {"C_SE_TA", nvaSet, 3, 7},
	SetScaled: {"C_SE_NB", svaSet, 3, 0}, SetScaledTime: {"C_SE_TB", svaSet, 3, 7},
	SetShortFloat: {"C_SE_NC", floatSet, 5, 0}, SetShortFloatTime: {"C_SE_TC", floatSet, 5, 7},
	SetBitstring: {"C_BO_NA", bsiAlone, 4, 0}, SetBitstringTime: {"C_BO_TA", bsiAlone, 4, 7},
	EndOfInitialization: {"M_EI_NA", coi, 1, 0}, Interrogation: {"C_IC_NA", qualifier, 1, 0},
	CounterInterrogation: {"C_CI_NA", qualifier, 1, 0}, Read: {"C_RD_NA", noElement, 0, 0}, ClockSync: {"C_CS_NA", noElement, 0, 7},
	TestCommand: {"C_TS_NA", pattern, 2, 0}, ResetProcess: {"C_RP_NA", qualifier, 1, 0}, DelayAcquisition: {"C_CD_NA", delay, 2, 0},
	TestCommandTime:     {"C_TS_TA", counter, 2, 7},
	ParameterNormalized: {"P_ME_NA", nvaParameter, 3, 0}, ParameterScaled: {"P_ME_NB", svaParameter, 3, 0},
	ParameterShortFloat: {"P_ME_NC", floatParameter, 5, 0}, ParameterActivation: {"P_AC_NA", qualifier, 1, 0},
}

// layout is that of a type; known is false of one that isn't read here.
func (t Type) layout() (l layout, known bool) {
	if int(t) >= len(layouts) || layouts[t].name == "" {
		return layout{}, false
	}
	return layouts[t], true
}

// Known reports whether ASDUs of the type are read and written here.
func (t Type) Known() bool { _, known := t.layout(); return known }

// Timed is how many octets of time an object of the type has: 0, 3 or 7.
func (t Type) Timed() int { l, _ := t.layout(); return int(l.time) }

// Monitors reports whether the type tells what a process is like.
func (t Type) Monitors() bool { return t.Known() && t <= OutputTime56 }

// Commands reports whether the type operates something: commands, set points and bits.
func (t Type) Commands() bool { return t.Known() && t >= SingleCommand && t <= SetBitstringTime }

// Whole reports whether the type's values are integers by their nature: points,
// positions, bits, scaled values and totals.
func (t Type) Whole() bool {
	switch l, _ := t.layout(); l.element {
	case nva, float, nvaAlone, nvaSet, floatSet, nvaParameter, floatParameter:
		return false
	}
	return true
}

// String is the standard's name of the type, such as M_SP_NA.
func (t Type) String() string {
	if l, known := t.layout(); known {
		return l.name
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// Cause is the cause of transmission (7.2.3).
type Cause uint8

const (
	Periodic             Cause = 1
	Background           Cause = 2
	Spontaneous          Cause = 3
	Initialized          Cause = 4
	Requested            Cause = 5
	Activation           Cause = 6
	ActivationCon        Cause = 7
	Deactivation         Cause = 8
	DeactivationCon      Cause = 9
	ActivationTermin     Cause = 10
	ReturnRemote         Cause = 11 // by a command from elsewhere
	ReturnLocal          Cause = 12 // by hand at the station
	InterrogatedStation  Cause = 20
	InterrogatedGroup1   Cause = 21 // to 36
	InterrogatedGroup16  Cause = 36
	InterrogatedCounters Cause = 37
	CountersGroup1       Cause = 38 // to 41
	CountersGroup4       Cause = 41
	UnknownType          Cause = 44
	UnknownCause         Cause = 45
	UnknownAddress       Cause = 46 // the common one
	UnknownObject        Cause = 47 // the object's address
)

var causes = [...]string{
	Periodic: "periodic", Background: "background", Spontaneous: "spontaneous", Initialized: "initialized", Requested: "requested",
	Activation: "activation", ActivationCon: "activation confirmed", Deactivation: "deactivation", DeactivationCon: "deactivation confirmed",
	ActivationTermin: "activation terminated", ReturnRemote: "return information of a remote command", ReturnLocal: "return information of a local command",
	InterrogatedStation: "station interrogation", InterrogatedCounters: "counter interrogation",
	UnknownType: "unknown type", UnknownCause: "unknown cause", UnknownAddress: "unknown common address", UnknownObject: "unknown object address",
}

func (c Cause) String() string {
	switch {
	case int(c) < len(causes) && causes[c] != "":
		return causes[c]
	case c >= InterrogatedGroup1 && c <= InterrogatedGroup16:
		return fmt.Sprintf("interrogation of group %d", c-InterrogatedStation)
	case c >= CountersGroup1 && c <= CountersGroup4:
		return fmt.Sprintf("counter interrogation of group %d", c-InterrogatedCounters)
	}
	return fmt.Sprintf("cause %d", uint8(c))
}

// Rejects reports whether the cause is one of those by which a station says that it
// knows nothing of what it was asked, whether it sets the negative bit or not.
func (c Cause) Rejects() bool { return c >= UnknownType && c <= UnknownObject }

// Interrogated reports whether the cause is the answer to an interrogation.
func (c Cause) Interrogated() bool { return c >= InterrogatedStation && c <= CountersGroup4 }

// Qualifiers of interrogation (7.2.6.22) and counter interrogation (7.2.6.23).
const (
	StationInterrogation = 20
	GeneralCounters      = 5 // RQT 5, without freezing (FRZ 0)
)

// Broadcast is the common address of all stations, of one octet or two.
func (p Params) Broadcast() uint16 {
	if p.Address == 1 {
		return 0xFF
	}
	return 0xFFFF
}

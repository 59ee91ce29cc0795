// Package gatewayconfig is the configuration file of a gateway, gateway.yaml.
// The comments of its structs are the reference documentation of the file and
// the descriptions in its JSON Schema.
package gatewayconfig

import (
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/kafkaconn"
	"github.com/busbar/busbar/profile"
	"github.com/busbar/busbar/rules"
)

// Config is a gateway's whole configuration. Durations are written as 250ms, 1s
// or 1h30m, sizes as 512KiB, 64MiB or 4GiB, numbers in decimal or as 0x hex.
// File names are relative to the directory of the configuration.
type Config struct {
	// Which gateway this is.
	Gateway Gateway `yaml:"gateway,required"`

	// Where measurements and events are sent.
	Forward Forward `yaml:"forward,required"`

	// Where they are kept until they have arrived there.
	Buffer Buffer `yaml:"buffer,required"`

	// What others on the site get from this gateway.
	Serve Serve `yaml:"serve"`

	// The gateway's own status page and metrics.
	Status Status `yaml:"status"`

	// The address of a gateway that is flashed and thus alone on its machine. Elsewhere
	// the operating system sees to it, and this isn't looked at. Default: by DHCP.
	Network Network `yaml:"network"`

	// Where the time comes from, and how far this machine's clock is trusted.
	Time Time `yaml:"time"`

	// How a flashed machine gets new versions.
	Update Update `yaml:"update"`

	// What devices use that don't say otherwise.
	Defaults Defaults `yaml:"defaults"`

	// The equipment that is measured. If the list is given, every asset that a
	// device or another asset names must be in it; without it, naming an asset
	// is enough.
	Assets []Asset `yaml:"assets"`

	// The devices that are read; at least one.
	Devices []Device `yaml:"devices,required"`

	// The alarms that are decided here, on this gateway.
	Rules []rules.Rule `yaml:"rules"`
}

// Gateway says which gateway this is.
type Gateway struct {
	// The gateway's name, unique in the fleet: a letter or digit, then up to 62
	// lower-case letters, digits and hyphens. It must not change while data is
	// in the buffer. Example: north-gw1.
	ID string `yaml:"id,required"`

	// The file with the private key that the gateway signs with, readable by its
	// user alone. It is made if it is missing; busbar-gateway key prints what the
	// cloud has to know of it. Default: gateway.key in the directory of buffer.
	// Example: /var/lib/busbar/gateway.key.
	Key configfile.Path `yaml:"key"`

	// Whom it obeys. Without this, commands of the cloud are off and aren't read.
	Commands *Commands `yaml:"commands"`

	// Whether it writes to devices at all: enabled or disabled. What may be written is
	// listed under control of each device; nobody but who works on this machine, or a
	// master that this gateway serves, can ask for it. Default: disabled.
	Control Switch `yaml:"control"`

	// What says whether the gateway's own supply is there: a UPS, or a contact. When it
	// fails, the gateway says so ahead of everything else, and goes on while it can.
	// Without this there is no last gasp.
	Mains *Mains `yaml:"mains"`

	// The place it stands in. Example: north-substation.
	Site string `yaml:"site"`

	// The feeder that supplies it, by a name that all gateways on it use. When this
	// gateway is silent, the others on its feeder tell the cloud whether it has lost
	// its supply or its link; without a feeder, those of its site do. Example: north-feeder-2.
	Feeder string `yaml:"feeder"`

	// The carrier or network that its way to the cloud depends on, by a name that all
	// gateways with the same one use. Silence of two others by another carrier is a sign
	// that the supply is gone, by the same one it is not. Example: carrier-a-lte.
	Uplink string `yaml:"uplink"`

	// The part of the network it belongs to, which decides who may see it in
	// the cloud. Example: region-1.
	Zone string `yaml:"zone"`
}

// Mains is a signal that is 1, or another number than 0, while the gateway's own supply
// is there.
type Mains struct {
	// The device that has it. Example: ups.
	Device string `yaml:"device,required"`

	// Its name. Example: OnLine.
	Signal string `yaml:"signal,required"`
}

// Commands says whose commands the gateway obeys: to answer, to note that an
// alarm was acknowledged, and to reset one.
type Commands struct {
	// The file with the public keys that may sign them, one a line in base64, as
	// busbar-cloud command key prints it. With two, one can follow the other.
	// Example: commands.pub.
	Key configfile.Path `yaml:"key,required"`
}

// Forward says where measurements and events are sent.
type Forward struct {
	// The Kafka cluster that receives them. Either this or uplink is needed.
	Kafka *kafkaconn.Config `yaml:"kafka"`

	// The cloud's uplink, for a gateway that reaches no Kafka: outgoing HTTPS on one
	// port, through a proxy if need be.
	Uplink *Uplink `yaml:"uplink"`

	// How what had to wait is sent, while the link was down or slow.
	Backfill Backfill `yaml:"backfill"`
}

// Uplink is the cloud's HTTPS server for gateways.
type Uplink struct {
	// Where it is, as https://host or https://host:port.
	// Example: https://uplink.example.
	URL string `yaml:"url,required"`

	// The certificate authorities that its certificate must come from, in PEM.
	// Default: those of the operating system. Example: ca.crt.
	CA configfile.Path `yaml:"ca"`

	// The file with a one-time token, as busbar-cloud gateway token prints it. With it the
	// gateway has the cloud take its key when it starts, and removes the file when that is
	// done. Default: the key is enrolled by hand. Example: token.
	TokenFile configfile.Path `yaml:"token_file"`

	// The HTTP proxy that it is reached through. Default: none.
	Proxy *kafkaconn.Proxy `yaml:"proxy"`
}

// Backfill is telemetry that had to wait. It goes beside current telemetry and
// events, and gives way to them.
type Backfill struct {
	// How much of it is sent in a second at most, without the protocol around it;
	// at least 1KiB. Default: as much as the link takes beside what is current.
	MaxRate configfile.Size `yaml:"max_rate"`
}

// Buffer is the store on this machine's disk.
type Buffer struct {
	// The directory of its files, which belongs to the gateway alone.
	// Example: /var/lib/busbar.
	Path configfile.Path `yaml:"path,required"`

	// How much of the disk it may take, all files together. Before it is full,
	// telemetry is thinned by the kind of its signals: gauges to every 4th
	// sample, then to minimum, maximum and mean of each minute; counters to the
	// last of each quarter-hour; states keep every change. Then the oldest is
	// given up. All of that is recorded. At least 16MiB. Default: 1GiB.
	MaxSize configfile.Size `yaml:"max_size"`

	// The part of max_size that is kept free for events, so that alarms find
	// room however long the log is away; at most a quarter of max_size.
	// Default: 64MiB, or a quarter of max_size if that is less.
	ReserveForEvents configfile.Size `yaml:"reserve_for_events"`

	// How often samples are written to the disk, and thus how much a power
	// failure can cost, and how old a current value is before it is sent; from
	// 10ms to 1m. Alarms are sent at once. Each write wears flash memory by
	// some 20 KB. Default: 600ms where 1,000 samples have come by then, and else
	// when 1,000 wait or the first waits for 15s.
	CommitEvery configfile.Duration `yaml:"commit_every"`
}

// Status is the gateway's own HTTP server.
type Status struct {
	// Where it listens, as host:port. On an address that other machines reach, such as
	// 0.0.0.0:9464, it speaks TLS with a certificate that the gateway makes for itself,
	// and asks them for the password; who is on this machine needs neither.
	// Default: 127.0.0.1:9464.
	Listen string `yaml:"listen"`

	// The file with the password that other machines have to give, of 12 to 100
	// characters; a line break at its end doesn't count. Default: the gateway makes one,
	// in status.password in the directory of buffer. Example: status.password.
	PasswordFile configfile.Path `yaml:"password_file"`
}

// Network is the address of a machine that has no operating system beside the gateway.
type Network struct {
	// Asks for an address by DHCP on every network card. Default: true, unless there is
	// an address.
	DHCP bool `yaml:"dhcp"`

	// The address, with how many bits of it are the network's. All others that the
	// machine may have, by other network cards, come by DHCP. Default: by DHCP.
	// Example: 10.0.0.20/24.
	Address string `yaml:"address"`

	// The router to other networks. Default: none. Example: 10.0.0.1.
	Gateway string `yaml:"gateway"`

	// The servers that know names. Default: none. Example: [10.0.0.1].
	DNS []string `yaml:"dns"`

	// The network card that has the address, as Linux calls it. Default: the first.
	// Example: eth0.
	Card string `yaml:"card"`
}

// Time is where the gateway has the time from, and how far this machine's clock is
// trusted. While it isn't known since the boot, samples wait in the buffer, and are placed in time when it is.
// Alarms are sent at once in any case.
type Time struct {
	// What says that the clock is right. kernel: whatever disciplines the
	// kernel's clock, such as chrony, ntpd, systemd-timesyncd or a PTP daemon.
	// assumed: something that the kernel knows nothing about, such as a
	// hypervisor; then a clock that is set counts as synchronised. Samples of a
	// clock that isn't synchronised are marked so. Default: kernel.
	Source TimeSource `yaml:"source"`

	// Time servers that the gateway asks by itself (NTPv4), as host or host:port;
	// the port is 123 if it is left out. This needs no right to set this machine's
	// clock, and doesn't set it: the gateway's own time is synchronised. It is used
	// while nothing synchronises the kernel's clock, or if two servers or more agree
	// that what does so is wrong. Three or more, so that one that is wrong is found
	// out; at most 16. Default: none. Example: [ntp-1.example, 10.0.0.1].
	NTP []string `yaml:"ntp"`

	// Hold samples of counters, which are settled by, until the clock is
	// synchronised. Other values are sent at once, marked. Default: false.
	RequireSync bool `yaml:"require_sync"`

	// How long samples are held at most; from 0s to 24h. After that they are
	// sent, marked as of uncertain time. Default: 10m.
	MaxHold configfile.Duration `yaml:"max_hold"`
}

// TimeSource is what says that the clock is right.
type TimeSource string

const (
	SourceKernel  TimeSource = "kernel"
	SourceAssumed TimeSource = "assumed"
)

// Defaults are what devices use that don't say otherwise.
type Defaults struct {
	// How often a device is read; from 1ms to 24h. Default: 1s.
	PollEvery configfile.Duration `yaml:"poll_every"`

	// How long a device may take for a connection, or for an answer, without the
	// time that it takes on a serial line; from 1ms to 1m. Default: 1s.
	Timeout configfile.Duration `yaml:"timeout"`
}

// Asset is a piece of equipment: a transformer, bay, feeder or service point.
type Asset struct {
	// The asset's name, unique in this file. Example: feeder-1.
	ID string `yaml:"id,required"`

	// What it is. Example: feeder.
	Kind string `yaml:"kind"`

	// The asset that feeds or contains it. Example: T1.
	Parent string `yaml:"parent"`

	// The voltage it is built for, between phases, in V or kV.
	// Example: 400 V.
	NominalVoltage *configfile.Quantity `yaml:"nominal_voltage"`

	// The current it may carry for ever, in A or kA. Example: 250 A.
	RatedCurrent *configfile.Quantity `yaml:"rated_current"`
}

// Device is one meter, relay or controller, and how it is read.
type Device struct {
	// The device's name, unique on this gateway: a letter or digit, then up to
	// 62 lower-case letters, digits and hyphens. Example: feeder-1-meter.
	ID string `yaml:"id,required"`

	// The asset that it measures. Default: the device's own id.
	// Example: feeder-1.
	Asset string `yaml:"asset"`

	// Where the device takes its own power from: measured, the voltage that it
	// measures, so that its silence may be an interruption; auxiliary, a supply
	// of its own; or unknown. Default: unknown.
	PoweredBy PoweredBy `yaml:"powered_by"`

	// The supply that it shares with other devices which fail together with it.
	// Example: battery-1.
	Supply string `yaml:"supply"`

	// How it is reached by Modbus. Exactly one of modbus, nut, gpio, opcua, mqtt,
	// sparkplug, iec104, iec101, p1, sml and iec62056 is needed.
	Modbus *Modbus `yaml:"modbus"`

	// How it is reached if it is an uninterruptible power supply: through upsd, the
	// server of Network UPS Tools.
	NUT *NUT `yaml:"nut"`

	// Where it is if it is contacts at GPIO lines of this machine, on Linux. They are
	// told of when they change.
	GPIO *GPIO `yaml:"gpio"`

	// Where it is if it is an OPC UA server, which tells by itself what changes.
	OPCUA *OPCUA `yaml:"opcua"`

	// The MQTT broker that what it says is published to. Messages tell of it when they come.
	MQTT *MQTTSource `yaml:"mqtt"`

	// Where it is if it is edge nodes that publish to an MQTT broker by Sparkplug B, and
	// their devices. They tell which signals they have.
	Sparkplug *Sparkplug `yaml:"sparkplug"`

	// Where it is if it is a station of IEC 60870-5-104, which tells by itself what changes.
	IEC104 *IEC104 `yaml:"iec104"`

	// The same of a station of IEC 60870-5-101, on a serial line.
	IEC101 *IEC101 `yaml:"iec101"`

	// The P1 port of a smart meter, which tells by itself what it measures: DSMR in the
	// Netherlands, and what was made after it in Belgium, Luxembourg, Sweden and elsewhere.
	// Its registers become signals by themselves.
	P1 *P1 `yaml:"p1"`

	// A meter that tells by itself what it measures in the Smart Message Language, as in
	// Germany. Its registers become signals by themselves.
	SML *SML `yaml:"sml"`

	// A meter that is read out by IEC 62056-21, mode A, B or C, through an optical head. Its
	// registers become signals by themselves.
	IEC62056 *IEC62056 `yaml:"iec62056"`

	// How often it is read; from 1ms to 24h. Not for gpio, opcua,
	// mqtt, sparkplug, iec104, iec101, p1, sml and iec62056. Default: that of defaults.
	PollEvery configfile.Duration `yaml:"poll_every"`

	// How long it may take for a connection, or for an answer, without the time
	// that it takes on a serial line; from 1ms to 1m. Not for gpio, mqtt and sparkplug.
	// Of p1 and sml, for how long nothing may come. Default: that of defaults; of opcua,
	// iec104 and iec101 10s, of p1 and sml 30s, of iec62056 5s.
	Timeout configfile.Duration `yaml:"timeout"`

	// The product that it is, whose signals it then has: a profile that comes with
	// Busbar, as busbar profile list prints them, or a file that ends in .yaml. For
	// modbus and mqtt. Example: eastron/sdm630.
	Profile string `yaml:"profile"`

	// What is read from it; at least one signal, unless there is something to follow. With
	// a profile, these are added to it, and those of a name that it has replace what they
	// give of it.
	Signals []Signal `yaml:"signals"`

	// A table with the signals of a station, as utilities hand them out: CSV with a header, of
	// which columns for name and ioa are needed. For iec104 and iec101. Those under signals
	// are added to it, and replace those of the same name. Example: bay.csv.
	SignalsFrom configfile.Path `yaml:"signals_from"`

	// What of it is read without being written down signal by signal. For devices that
	// tell what they have. With a profile, these are added to what it follows.
	Follow []Follow `yaml:"follow"`

	// What of the conditions and events that an OPC UA server tells of is read, such as its
	// alarms. Default: nothing.
	Alarms []Alarms `yaml:"alarms"`

	// What may be written to it, by modbus, opcua, iec104 and iec101. Default: nothing.
	Control []Control `yaml:"control"`

	// Identity is that of the profile.
	Identity []profile.Identity `yaml:"-" json:"-"`
}

// Signal is one measured quantity of a device and where it lies.
type Signal = profile.Signal

// PoweredBy is where a device takes its own power from.
type PoweredBy string

const (
	Measured  PoweredBy = "measured"
	Auxiliary PoweredBy = "auxiliary"
	Unknown   PoweredBy = "unknown"
)

// NUT is a UPS that an upsd serves.
type NUT struct {
	// Where upsd is: tcp://host or tcp://host:port; the port is 3493 if it is left out.
	// Example: tcp://127.0.0.1:3493.
	Endpoint string `yaml:"endpoint,required"`

	// The name of the UPS in upsd's ups.conf. Example: ups.
	UPS string `yaml:"ups,required"`

	// The user of upsd's upsd.users to be, who needs no right there. Default: none, which
	// is enough to read.
	Username string `yaml:"username"`

	// The file with that user's password; a line break at its end doesn't count. It is
	// sent to upsd as it is, which is accepted on this machine only.
	// Example: upsd.password.
	PasswordFile configfile.Path `yaml:"password_file"`

	// Accepts a user at a upsd on another machine: everybody on the way can then read
	// the password. Default: false.
	Insecure bool `yaml:"insecure"`
}

// GPIO is a chip of this machine that has lines.
type GPIO struct {
	// The chip's file, which the gateway has to be able to open. Example: /dev/gpiochip0.
	Chip string `yaml:"chip,required"`
}

// Modbus is a unit at an endpoint: a network address or a serial port.
type Modbus struct {
	// The endpoint. Devices with the same one share a connection or line, and have
	// to give it the same options. Example: tcp://10.0.0.11:502.
	//
	// Modbus TCP: tcp://host:port; the port is 502 if it is left out.
	//
	// A serial port of this machine: rtu:///dev/ttyUSB0, with options like
	// rtu:///dev/ttyUSB0?baud=9600&parity=N. They are baud, from 300 to 4000000
	// (default 19200); parity, N, E or O (default E); stop_bits, 1 or 2 (default
	// 1); data_bits, 8. rs485=true has the port's driver switch the direction of a
	// two-wire line by RTS; with it, rts_on_send, whether RTS is set while sending
	// (default true); rts_delay_before and rts_delay_after, from 0ms to 100ms
	// (default 0ms); rx_during_tx, whether what is sent is received too (default
	// false). Prefer the names in /dev/serial/by-id, which stay the same when
	// converters are plugged in elsewhere.
	//
	// A serial device server that passes bytes on: rtu+tcp://host:port, with the
	// option baud, the speed of the line behind it (default 9600).
	Endpoint string `yaml:"endpoint,required"`

	// The unit identifier, from 0 to 255: which of the devices behind the
	// endpoint is meant. Default: 1.
	Unit uint8 `yaml:"unit"`

	// What is added to the addresses of the profile's signals, of a device whose
	// registers begin elsewhere. One unit may be several devices with different
	// bases, such as the inverter and the meter of one that has SunSpec's models for
	// both. Example: 40069.
	Base uint16 `yaml:"base"`

	profile.Reading `yaml:",inline"`
}

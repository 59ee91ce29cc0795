package layout

// A Raspberry Pi's firmware knows four partitions and no names: what they are is told by
// their numbers. The first has what people edit and says which slot is started, the two
// slots each have a version, and the last is for data.
const (
	PiSlotA = "busbar-a"
	PiSlotB = "busbar-b"

	// PiDisk is what identifies the disk, as the kernel says it of its partitions.
	PiDisk = 0xb05ba200

	// PiAutoboot is the file of the first partition that says which slot is started.
	PiAutoboot = "autoboot.txt"

	// Files of a slot beside its Archive and the firmware's own.
	PiKernel      = "kernel8.img"
	PiConfig      = "config.txt"
	PiCommandLine = "cmdline.txt" // what the kernel is told; then which slot and version it is, and what is this machine's own
	PiTrialLine   = "cmdtry.txt"  // the same for a start on trial, which PiConfig says
)

// PiSlots are the slots' partitions.
var PiSlots = [2]int{2, 3}

// PiNames are the partitions' names by their numbers, from 1.
var PiNames = [4]string{BootName, PiSlotA, PiSlotB, DataName}

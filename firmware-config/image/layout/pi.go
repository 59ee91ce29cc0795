package layout

// A Raspberry Pi's firmware knows four partitions and no names: what they are is told by
// their numbers. The first has what people edit and says which slot is started, the two
// slots each have a version, and the last is for data.
const (
	PiSlotA = "busbar-a"
	PiSlotB = "busbar-b"

	// PiDisk is what identifies the disk, as the kernel says it of its partitions.
	PiDisk = 0xb05ba200

	// Files of a slot.
	PiKernel  = "kernel8.img"
	PiArchive = "initrd"
	PiVersion = "version.txt"
)

// PiNames are the partitions' names by their numbers, from 1.
var PiNames = [4]string{BootName, PiSlotA, PiSlotB, DataName}

// Package crc16 has the reflected checksums of 16 bits by which meters protect what they say.
package crc16

// Table is that of a polynomial.
type Table [256]uint16

// Of makes the table of a reflected polynomial, such as 0xA001.
func Of(polynomial uint16) *Table {
	t := &Table{}
	for i := range t {
		crc := uint16(i)
		for range 8 {
			if crc&1 != 0 {
				crc = crc>>1 ^ polynomial
			} else {
				crc >>= 1
			}
		}
		t[i] = crc
	}
	return t
}

// Update is the checksum of what it was of so far and data.
func (t *Table) Update(crc uint16, data []byte) uint16 {
	for _, b := range data {
		crc = crc>>8 ^ t[byte(crc)^b]
	}
	return crc
}

package rdb

import "encoding/binary"

// The checksum is CRC-64 with the polynomial of David T. Jones, bits reflected, and neither
// initial value nor final complement. hash/crc64 complements both, and builds its fast table anew
// on each call for polynomials that it does not know; hence these few lines.
const crcPoly = 0x95ac9329ac4bc9b5

// crcTables[k][b] is the checksum of byte b followed by k zero bytes, so that eight bytes can be
// looked up at once and combined ("slicing by eight").
var crcTables = makeCRCTables()

func makeCRCTables() *[8][256]uint64 {
	t := new([8][256]uint64)
	for i := range t[0] {
		crc := uint64(i)
		for range 8 {
			if crc&1 != 0 {
				crc = crc>>1 ^ crcPoly
			} else {
				crc >>= 1
			}
		}
		t[0][i] = crc
	}
	for k := 1; k < 8; k++ {
		for i, crc := range t[k-1] {
			t[k][i] = t[0][byte(crc)] ^ crc>>8
		}
	}
	return t
}

// crc64 returns the checksum of what crc is the checksum of, followed by b. It begins at 0.
func crc64(crc uint64, b []byte) uint64 {
	t := crcTables
	for len(b) >= 8 {
		crc ^= binary.LittleEndian.Uint64(b)
		crc = t[7][byte(crc)] ^ t[6][byte(crc>>8)] ^ t[5][byte(crc>>16)] ^ t[4][byte(crc>>24)] ^
			t[3][byte(crc>>32)] ^ t[2][byte(crc>>40)] ^ t[1][byte(crc>>48)] ^ t[0][crc>>56]
		b = b[8:]
	}
	for _, c := range b {
		crc = t[0][byte(crc)^c] ^ crc>>8
	}
	return crc
}
